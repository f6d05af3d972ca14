/** From spawn to the first 200 on /health, and the memory of the processes, idle and after load. */
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { freePort } from '@oms/chassis/embedded-postgres'
import { createProgram, type Program } from '@oms/e2e/program'
import { SERVICES } from '@oms/e2e/system'
import { createHttpPlacing, drive } from './load.ts'
import type { Row } from './report.ts'
import { interleave, ratiosOf } from './statistics.ts'
import type { World } from './world.ts'

const AT_MOST_MS = 300
const AT_MOST_MB = 100
const STARTS = 11
/** Each process has made its connections by then. */
const IDLE_AFTER_MS = 1000
const LOAD_MS = 10_000
const CALLERS = 32

export async function measureStart(
  world: World,
  tell: (line: string) => void,
  starts = STARTS,
): Promise<readonly Row[]> {
  const system = await world.system('simulated')
  tell(`start: ${starts} × three bundles`)
  // Once, for the page cache: what comes after is the program's, not the disk's.
  const floor = await nodeAlone(world.folder)
  for (const each of [floor, ...SERVICES.map(program)]) await coldStart(each)
  const measured = await interleave(starts, {
    floor: () => coldStart(floor),
    order: () => coldStart(program('order')),
    payment: () => coldStart(program('payment')),
    inventory: () => coldStart(program('inventory')),
  })
  const ms = (name: keyof typeof measured) => measured[name].map((each) => each.ms)

  tell(`start: memory after ${LOAD_MS / 1000} s with ${CALLERS} callers`)
  await system.start()
  const placing = createHttpPlacing(system.urls.order)
  const { confirmed } = await drive(placing.place, CALLERS, LOAD_MS)
  await placing.close()
  const loaded = SERVICES.map((service) => residentMb(system.programs[service].pid()))
  await system.stop()

  return [
    { what: 'Node alone: spawn to its first 200', unit: 'ms', values: ms('floor') },
    ...SERVICES.map((service) => ({
      what: `${service}: spawn to the first 200 on /health`,
      unit: 'ms',
      values: ms(service),
      against: { control: 'Node alone', ratios: ratiosOf(ms(service), ms('floor')) },
      bar: { on: 'median', atMost: AT_MOST_MS } as const,
    })),
    ...SERVICES.map((service) => ({
      what: `${service}: memory (RSS), idle`,
      unit: 'MB',
      values: measured[service].map(({ idleMb }) => idleMb),
      bar: { on: 'median', atMost: AT_MOST_MB } as const,
    })),
    ...SERVICES.map((service, index) => ({
      what: `${service}: memory (RSS) after ${confirmed} orders`,
      unit: 'MB',
      // Without a bar: where memory is plenty, Node collects late.
      values: [loaded[index] as number],
    })),
  ]

  function program(service: (typeof SERVICES)[number]): Startable {
    return { program: system.programs[service], origin: system.urls[service] }
  }
}

interface Startable {
  readonly program: Program
  readonly origin: string
}

async function nodeAlone(stateDir: string): Promise<Startable> {
  const port = await freePort()
  const origin = `http://127.0.0.1:${port}`
  const program = createProgram({
    name: 'node',
    bundle: join(import.meta.dirname, 'hello.mjs'),
    env: { PORT: String(port) },
    readyUrl: origin,
    stateDir,
  })
  return { program, origin }
}

async function coldStart({ program, origin }: Startable) {
  const startedAt = performance.now()
  const starting = program.start()
  // A failure of the start is told by `starting`.
  while (!(await isHealthy(Number(new URL(origin).port)))) {
    if (performance.now() - startedAt > 10_000) break
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  const ms = performance.now() - startedAt
  await starting
  await new Promise((resolve) => setTimeout(resolve, IDLE_AFTER_MS))
  const idleMb = residentMb(program.pid())
  await program.stop()
  return { ms, idleMb }
}

/** By hand: an HTTP client that asks every 2 ms would take a core from what starts. */
function isHealthy(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    let answer = ''
    connect(port, '127.0.0.1')
      .setEncoding('latin1')
      .on('data', (text) => {
        answer += text
      })
      .on('error', () => resolve(false))
      .on('close', () => resolve(answer.startsWith('HTTP/1.1 200')))
      .end('GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n')
  })
}

/** Linux tells it; elsewhere NaN. 1 MB = 10⁶ bytes. */
function residentMb(pid: number | undefined): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return (Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024) / 1e6
}
