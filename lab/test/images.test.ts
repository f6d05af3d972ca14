/** The product's images, built by its own Dockerfile and run: `pnpm verify:images`. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import '@oms/chassis/testing-context'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { parse } from 'yaml'
import { ROOT } from '../src/folders.ts'
import {
  type BuiltImage,
  buildImage,
  type ImageName,
  PACKAGES,
  removeOldSteps,
} from '../src/images/build.ts'
import { removeLeftOvers, runContainer } from '../src/images/container.ts'
import { checkMachine } from '../src/images/preconditions.ts'
import { type Bases, prepareBases } from '../src/images/stand-ins.ts'
import { type ComposeRun, composeRun, PROGRAMS, type ProgramName } from './compose-run.ts'

const MEGABYTE = 1_000_000
const NAMES = Object.keys(PACKAGES) as ImageName[]
const IMAGE_OF: Readonly<Record<ProgramName, ImageName>> = {
  processor: 'card-processor',
  payment: 'payment-service',
  inventory: 'inventory-service',
  order: 'order-service',
}

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
const stateDir = mkdtempSync(join(tmpdir(), 'oms-images-'))
const built = new Map<ImageName, BuiltImage>()
const stopMs = new Map<ProgramName, number>()
let bases: Bases

beforeAll(async () => {
  await checkMachine({ install: false })
  bases = await prepareBases(console.log)
  await removeLeftOvers(bases.store)
  for (const name of NAMES) built.set(name, await build(name))
  await removeOldSteps(bases.store, [...built.values()])
}, 1_800_000)
afterAll(() => rmSync(stateDir, { recursive: true }))

function idOf(name: string): string {
  const image = built.get(name as ImageName)
  if (image === undefined) throw new Error(`There is no image ${name}.`)
  return image.id
}

const build = (name: ImageName): Promise<BuiltImage> =>
  buildImage(bases, name, { PACKAGE: PACKAGES[name] })

describe('the Dockerfile', () => {
  test.each(NAMES)('adds at most 60 MB to its base for %s', (name) => {
    expect(built.get(name)?.ownBytes).toBeGreaterThan(0)
    expect(built.get(name)?.ownBytes).toBeLessThanOrEqual(60 * MEGABYTE)
  })

  test('builds nothing anew that has not changed', async () => {
    for (const name of ['order-service', 'card-processor'] as const)
      expect((await build(name)).id).toBe(idOf(name))
  })

  test.each(['', 'services/shipping'])('refuses PACKAGE="%s" with a sentence', async (PACKAGE) => {
    await expect(buildImage(bases, 'no-image', { PACKAGE })).rejects.toThrow(/exit status 1/)
    // The same lines by themselves: buildah 1.28 sometimes loses the last words of a step that fails.
    const [, check] = /^RUN (if [\s\S]*?fi) \\$/m.exec(read('Dockerfile')) ?? []
    const { code, output } = await runContainer(bases.store, {
      image: bases.build,
      entrypoint: ['sh', '-c', `cd /src; ${check}`],
      env: { PACKAGE },
      mounts: [{ source: ROOT, target: '/src', mode: 'ro' }],
    })
    expect(output).toBe(
      `PACKAGE="${PACKAGE}" is not the folder of a program. Use one of: ${Object.values(PACKAGES).join(', ')}.\n`,
    )
    expect(code).toBe(1)
  })
})

describe.each(NAMES)('the image of %s', (image) => {
  /** What a script prints that runs as the image's program would. */
  async function inside(script: string): Promise<unknown> {
    const { code, output } = await runContainer(bases.store, {
      image: idOf(image),
      command: ['-e', script],
    })
    expect(code, output).toBe(0)
    return JSON.parse(output)
  }

  test('holds one bundle, and of a service what Node compiled of it', async () => {
    const script = `
      const files = fs.readdirSync('.', { recursive: true, withFileTypes: true }).filter((each) => each.isFile())
      const cache = require('node:module').getCompileCacheDir() ?? ''
      console.log(JSON.stringify(files.map(({ parentPath, name }) =>
        path.resolve(parentPath) === cache ? 'cache' : path.join(parentPath, name))))`
    const isService = PACKAGES[image].startsWith('services/')
    expect(await inside(script)).toEqual(isService ? ['main.mjs', 'cache'] : ['main.mjs'])
  })

  test('runs as nobody, who can write nowhere and gain no right', async () => {
    const script = `
      const write = (path) => { try { fs.writeFileSync(path, 'x'); return 'written' } catch ({ code }) { return code } }
      const status = fs.readFileSync('/proc/self/status', 'utf8')
      const line = (name) => new RegExp('^' + name + ':[ \\\\t]*(.*)$', 'm').exec(status)[1].trim()
      console.log(JSON.stringify({
        root: write('/x'), own: write('/app/x'), home: write('/home/nonroot/x'), tmp: write('/tmp/x'),
        uid: line('Uid'), gid: line('Gid'), groups: line('Groups'),
        capabilities: [line('CapPrm'), line('CapEff'), line('CapInh'), line('CapAmb')].map((each) => parseInt(each, 16)),
        noNewPrivileges: line('NoNewPrivs'),
      }))`
    const uid = Array(4).fill('65532').join('\t')
    expect(await inside(script)).toEqual({
      ...{ root: 'EROFS', own: 'EROFS', home: 'EROFS', tmp: 'EROFS' },
      ...{ uid, gid: uid, groups: '', capabilities: [0, 0, 0, 0], noNewPrivileges: '1' },
    })
  })

  test('gives three quarters of its memory to the heap', async () => {
    const script = `console.log(require('node:v8').getHeapStatistics().heap_size_limit)`
    const share = Number(await inside(script)) / totalmem()
    expect(share).toBeGreaterThan(0.7)
    expect(share).toBeLessThan(0.8)
  })
})

describe('the system of docker-compose.yml', () => {
  const superuser = new URL(inject('postgresUrl'))
  let system: ComposeRun

  beforeAll(async () => {
    system = await composeRun(bases, idOf, superuser, stateDir)
    await system.up('order')
  }, 180_000)
  afterAll(async () => {
    await system.close()
    report()
  })

  test.each(PROGRAMS)('%s answers and holds at most 100 MB', async (name) => {
    const { url, residentBytes } = system.program(name)
    const paths = name === 'processor' ? ['/health'] : ['/health', '/ready']
    for (const path of paths) expect((await fetch(url + path)).status).toBe(200)
    expect(residentBytes).toBeLessThanOrEqual(100 * MEGABYTE)
  })

  test('confirms the order of the README', async () => {
    const [, body] = /-d '(\{.*\})'/.exec(read('README.md')) ?? []
    const answer = await fetch(`${system.program('order').url}/api/v1/orders`, {
      method: 'POST',
      headers: {
        'x-tenant-id': 'acme',
        'content-type': 'application/json',
        'idempotency-key': 'the-order-of-the-readme',
      },
      body: body as string,
    })
    expect(answer.status).toBe(201)
    expect(await answer.json()).toMatchObject({ state: 'confirmed' })
    await expect.poll(() => system.traces(), { timeout: 20_000 }).toBeGreaterThan(0)
  })

  test('shows Prometheus what it asks for', async () => {
    const config = parse(read('docker/prometheus.yml'))
    for (const target of config.scrape_configs[0].static_configs[0].targets as string[]) {
      const answer = await fetch(`${system.program(target.split(':')[0] as string).url}/metrics`)
      expect(await answer.text()).toContain('http_server_request_duration_seconds')
    }
  })

  test('keeps its promises, by the audit from its own image', async () => {
    const url = (database: string): string => new URL(database, `${superuser.href}/`).href
    const { code, output } = await runContainer(bases.store, {
      image: idOf('oms-audit'),
      command: ['main.mjs', '--settle-timeout', '40'],
      env: {
        ORDER_DATABASE_URL: url('oms_order'),
        PAYMENT_DATABASE_URL: url('oms_payment'),
        INVENTORY_DATABASE_URL: url('oms_inventory'),
        PROCESSOR_URL: system.program('processor').url,
      },
    })
    expect(code, output).toBe(0)
    expect(output).toMatch(/I1 .*ok/)
  })

  test.each(PROGRAMS)(
    '%s stops on SIGTERM within its grace, with nothing to regret',
    async (name) => {
      const { container } = system.program(name)
      const startedAt = performance.now()
      expect(await container.stop()).toBe(0)
      stopMs.set(name, performance.now() - startedAt)
      // docker-compose.yml's stop_grace_period.
      expect(stopMs.get(name)).toBeLessThan(30_000)
    },
  )

  /** Bars: 60 MB, 300 ms, 100 MB; the time is the machine's, so it is told and not asserted. */
  function report(): void {
    const row = (...cells: string[]): string =>
      cells.map((cell, i) => (i === 0 ? cell.padEnd(18) : cell.padStart(15))).join('')
    console.log(row('image', 'above its base', 'cold start', 'at rest', 'stop'))
    console.log(row('bar', '60 MB', '300 ms', '100 MB', '30,000 ms'))
    for (const name of NAMES) {
      const program = PROGRAMS.find((each) => IMAGE_OF[each] === name)
      const started = program && system.program(program)
      const size = `${((built.get(name)?.ownBytes ?? 0) / MEGABYTE).toFixed(1)} MB`
      const figures =
        started === undefined
          ? []
          : [
              `${started.coldStartMs.toFixed(0)} ms`,
              `${(started.residentBytes / MEGABYTE).toFixed(0)} MB`,
              `${stopMs.get(program as ProgramName)?.toFixed(0)} ms`,
            ]
      console.log(row(name, size, ...figures))
    }
  }
})
