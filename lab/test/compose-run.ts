/**
 * docker-compose.yml without Docker: its programs from their images, with its commands, variables, volumes, health
 * checks and order. Only addresses differ: all share one host, and PostgreSQL is one that runs there already.
 */
import { chownSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { freePort } from '@oms/chassis/embedded-postgres'
import { type ComposeService, environmentOf, readCompose, volumesOf } from '@oms/e2e/compose'
import { ROOT } from '../src/folders.ts'
import {
  type Container,
  type Mount,
  runContainer,
  startContainer,
} from '../src/images/container.ts'
import type { Bases } from '../src/images/stand-ins.ts'

/** Those that listen and are the product's. */
export const PROGRAMS = ['processor', 'payment', 'inventory', 'order'] as const
export type ProgramName = (typeof PROGRAMS)[number]

export interface Started {
  readonly container: Container
  readonly url: string
  /** From the start of the program to the first 200 of /health. */
  readonly coldStartMs: number
  /** Shortly after it was ready. */
  readonly residentBytes: number
}

export interface ComposeRun {
  /** @throws Error where it was not started. */
  program(name: string): Started
  /** Requests that arrived where the traces go. */
  traces(): number
  /** Starts what `name` waits for, then itself. @throws Error with the output of what failed. */
  up(name: string): Promise<void>
  /** Ends whatever still runs. */
  close(): Promise<void>
}

/** User of the images. */
const NOBODY = 65_532
/** 30 s: a start takes a quarter of a second, a schema wait a few. */
const UP_WITHIN_MS = 30_000

/** @param imageOf the image of a name in the file: names are shared with other checkouts, ids are not. */
export async function composeRun(
  { store, build }: Bases,
  imageOf: (name: string) => string,
  postgres: URL,
  stateDir: string,
): Promise<ComposeRun> {
  const compose = readCompose()
  const programs = new Map<string, Started>()
  const jaeger = await collector()
  const ports: Record<string, number> = { postgres: Number(postgres.port), jaeger: jaeger.port }
  for (const name of PROGRAMS) ports[name] = await freePort()

  // PostgreSQL takes its superuser's password from here; this one has it already.
  const superuserPassword = volume('superuser-password')
  writeFileSync(join(superuserPassword, 'postgres'), postgres.password)

  function volume(name: string): string {
    const dir = join(stateDir, 'volumes', name)
    mkdirSync(dir, { recursive: true })
    return dir
  }

  function mountsOf(service: ComposeService): readonly Mount[] {
    return volumesOf(service).map(({ source, target, readOnly }) => {
      const named = !source.includes('/')
      const from = named ? volume(source) : join(ROOT, source)
      // Docker gives a new volume to the owner of its place in the image.
      if (named && target === '/home/nonroot') chownSync(from, NOBODY, NOBODY)
      return { source: from, target, mode: readOnly ? 'ro' : 'rw' }
    })
  }

  function envOf(name: string, service: ComposeService): Record<string, string> {
    const env = environmentOf(service)
    for (const [variable, value] of Object.entries(env)) {
      if (variable === 'HOST') env[variable] = '127.0.0.1'
      if (variable === 'PORT') env[variable] = `${ports[name] ?? 0}`
      if (variable.endsWith('_URL')) env[variable] = local(value)
    }
    return env
  }

  function local(address: string): string {
    const url = new URL(address)
    url.port = `${ports[url.hostname]}`
    url.hostname = '127.0.0.1'
    return url.href
  }

  const started = new Map<string, Promise<void>>()

  function up(name: string): Promise<void> {
    const known = started.get(name) ?? bring(name)
    started.set(name, known)
    return known
  }

  async function bring(name: string): Promise<void> {
    const service = compose.services[name] as ComposeService
    // One by one, so that a cold start is measured alone.
    for (const other of Object.keys(service.depends_on ?? {})) await up(other)
    if (name === 'postgres') return
    const { command = [], entrypoint } = service
    const options = {
      // A shell and its tools: all that is asked of somebody else's image.
      image: service.build === undefined ? build : imageOf(service.image),
      ...(entrypoint === undefined ? {} : { entrypoint }),
      ...(command.length === 0 ? {} : { command }),
      env: envOf(name, service),
      mounts: mountsOf(service),
    }
    if (service.healthcheck?.test === undefined) return runOnce(name, options)
    programs.set(name, await serve(name, service, options))
  }

  async function runOnce(name: string, options: Parameters<typeof runContainer>[1]): Promise<void> {
    const { code, output } = await runContainer(store, options)
    if (code !== 0) throw new Error(`${name} ended with ${code}:\n${output}`)
  }

  async function serve(
    name: string,
    { healthcheck, environment }: ComposeService,
    options: Parameters<typeof runContainer>[1],
  ): Promise<Started> {
    const logFile = join(stateDir, 'logs', `${name}.log`)
    mkdirSync(dirname(logFile), { recursive: true })
    const container = await startContainer(store, { ...options, logFile })
    const url = `http://127.0.0.1:${ports[name]}`
    await until(() => answers(`${url}/health`), `${name} did not answer; see ${logFile}`)
    const coldStartMs = performance.now() - container.startedAt
    const check = healthcheck?.test
      ?.slice(1)
      .map((word) =>
        word.replace(`127.0.0.1:${environment?.['PORT']}`, `127.0.0.1:${ports[name]}`),
      ) as readonly string[]
    const healthy = async (): Promise<boolean> =>
      (await runContainer(store, { image: options.image, entrypoint: check })).code === 0
    await until(healthy, `${name} did not become healthy; see ${logFile}`)
    return { container, url, coldStartMs, residentBytes: container.residentBytes() }
  }

  function program(name: string): Started {
    const found = programs.get(name)
    if (found === undefined) throw new Error(`${name} was not started.`)
    return found
  }

  async function close(): Promise<void> {
    for (const { container } of programs.values()) await container.stop('SIGKILL')
    await jaeger.close()
  }

  return { program, traces: jaeger.received, up, close }
}

async function answers(url: string): Promise<boolean> {
  return fetch(url).then(
    ({ ok }) => ok,
    () => false,
  )
}

async function until(holds: () => Promise<boolean>, otherwise: string): Promise<void> {
  const end = performance.now() + UP_WITHIN_MS
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(otherwise)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Stands where Jaeger takes Zipkin's spans. */
async function collector() {
  let count = 0
  const server = createServer((request, response) => {
    if (request.method === 'POST' && request.url === '/api/v2/spans') count += 1
    request.resume()
    response.writeHead(202).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    received: () => count,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  }
}
