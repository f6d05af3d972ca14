import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { freePort, isFreePort } from '@oms/chassis/embedded-postgres'
import { eventually } from '@oms/chassis/testing'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

const ROOT = resolve(import.meta.dirname, '../..')
const UP = join(ROOT, 'scripts/up.ts')
const IS_UP = 'Ctrl-C stops everything'

interface Started {
  readonly child: ChildProcess
  output(): string
  /** Resolves with the exit code, once all that it printed is read. */
  readonly exit: Promise<number | null>
  /** Resolves when the prompt would be back. */
  readonly gone: Promise<unknown>
}

/** In a process group of its own, as a terminal would start it. */
function start(command: string, args: readonly string[]): Started {
  const child = spawn(command, args, { cwd: ROOT, detached: true })
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8')
    })
  const exit = new Promise<number | null>((done) => child.once('close', done))
  const gone = new Promise((done) => child.once('exit', done))
  return { child, exit, gone, output: () => text }
}

/** What Ctrl-C does: SIGINT to the whole group. */
function pressCtrlC({ child }: Started): void {
  process.kill(-(child.pid as number), 'SIGINT')
}

/** Four ports in a row that were free a moment ago. */
async function fourFreePorts(): Promise<number> {
  for (;;) {
    const port = await freePort()
    const free = await Promise.all([1, 2, 3].map((more) => isFreePort(port + more)))
    if (free.every(Boolean)) return port
  }
}

function commandsOf(file: string): readonly string[] {
  const blocks = readFileSync(file, 'utf8').matchAll(/```sh\n(.*?)```/gs)
  return [...blocks].flatMap(([, block]) =>
    (block as string).replaceAll('\\\n', ' ').trim().split('\n'),
  )
}

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'oms-start-'))
  chmodSync(folder, 0o755)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('the README’s commands', () => {
  let port: number
  let data: string
  let started: Started

  beforeAll(async () => {
    port = await fourFreePorts()
    data = join(folder, 'data')
  })
  afterAll(() => {
    if (started.child.exitCode === null && started.child.signalCode === null) pressCtrlC(started)
    return started.exit
  })

  async function startIt(command: string): Promise<void> {
    started = start('sh', ['-c', `exec ${command} -- --port ${port} --data ${data}`])
    await eventually(
      `the system is up: ${started.output()}`,
      () => started.output().includes(IS_UP),
      90_000,
    )
  }

  /** A command as it stands, but for the port and the folder of this test. */
  async function run(command: string): Promise<string> {
    const here = command.replace('8080', String(port)).replace('.data', data)
    return (await promisify(execFile)('sh', ['-c', here])).stdout
  }

  test('do what the README says, from npm start to Ctrl-C, and a second start keeps the orders', async () => {
    const [npmStart, place, kill, feed, ...checks] = commandsOf(join(ROOT, 'README.md')) as [
      string,
      string,
      string,
      string,
    ]
    expect(npmStart).toBe('npm start')
    await startIt(npmStart)
    const told = started.output()
    for (const end of ['confirmed', 'payment-declined', 'out-of-stock', 'order-cancelled'])
      expect(told).toContain(end)
    expect(told).toContain('byte for byte the same answer')
    expect(told).toContain('1 capture in its ledger')
    expect(told).toContain('captured meanwhile, refunded in full')
    expect(told).toMatch(/12 ok, 0 violated, 0 not checked/)

    const second = start(process.execPath, [UP, '--port', String(port), '--data', data])
    expect(await second.exit).toBe(1)
    expect(second.output()).toContain(`Order Management runs already on ${data}`)

    expect(await run(place)).toMatch(/^HTTP\/1.1 201 .*"state":"confirmed"/s)

    expect(kill).toMatch(/^kill -9 .*payment-service\.pid/)
    await run(kill)
    await eventually('the death is noticed', () =>
      started.output().includes('payment-service is gone'),
    )
    const waiting = await run(place.replace('my-first-order', 'my-second-order'))
    expect(waiting).toMatch(/^HTTP\/1.1 202 /)
    const { order_id } = JSON.parse(waiting.slice(waiting.indexOf('{'))) as { order_id: string }
    await eventually('the order ends', async () => (await run(feed)).includes(order_id), 40_000)

    const scripts = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).scripts
    // The last ones need root and Docker: lab.test.ts runs the one, compose.test.ts holds the other's file.
    expect(checks).toEqual([
      'npm test',
      'npm run check',
      'npm run lab',
      'npx pnpm@12.21.0 e2e',
      'npx pnpm@12.21.0 e2e:mutants payment-retry-attempts',
      'npx pnpm@12.21.0 loadtest sick-replica',
      'docker compose up --build',
    ])
    expect(scripts).toMatchObject({ test: expect.any(String), check: expect.any(String) })

    pressCtrlC(started)
    await started.gone
    for (const more of [0, 1, 2, 3]) expect(await isFreePort(port + more)).toBe(true)
    await started.exit
    expect(started.output()).toContain('Stopped.')

    await startIt(npmStart)
    expect(await run(feed)).toContain(order_id)
  }, 180_000)
})

describe('npm start says what to do about', () => {
  const open: { close(): void }[] = []
  afterEach(() => {
    for (const each of open.splice(0)) each.close()
  })

  async function refusal(...args: readonly string[]): Promise<string> {
    const started = start(process.execPath, [UP, ...args])
    expect(await started.exit).toBe(1)
    const text = started.output()
    expect(text).not.toContain('    at ')
    return text
  }

  test('a busy port', async () => {
    const port = await fourFreePorts()
    const busy = createServer()
    await new Promise<void>((done) => busy.listen(port + 2, '127.0.0.1', done))
    open.push(busy)
    const text = await refusal('--port', String(port), '--data', join(folder, 'busy'))
    expect(text).toContain(`Port ${port + 2} on 127.0.0.1, for inventory, is taken.`)
    expect(text).toContain('--port')
  })

  test('a folder that cannot be written', async () => {
    const file = join(folder, 'a-file')
    writeFileSync(file, '')
    const data = join(file, 'data')
    const text = await refusal('--port', String(await fourFreePorts()), '--data', data)
    expect(text).toContain(`${data} cannot be written`)
  })

  test('a folder that PostgreSQL’s user may not pass through, when started as root', async () => {
    if (process.getuid?.() !== 0) return
    const closed = join(folder, 'closed')
    mkdirSync(closed, { mode: 0o700 })
    const text = await refusal(
      '--port',
      String(await fourFreePorts()),
      '--data',
      join(closed, 'data'),
    )
    expect(text).toContain(`chmod o+x ${closed}`)
  })

  test('a damaged data folder', async () => {
    const data = join(folder, 'damaged')
    mkdirSync(join(data, 'postgres'), { recursive: true })
    writeFileSync(join(data, 'postgres', 'PG_VERSION'), '18\n')
    const text = await refusal('--port', String(await fourFreePorts()), '--data', data)
    expect(text).toContain('npm start -- --fresh')
  })

  test.each([
    ['an unknown flag', ['--frsh'], '--fresh'],
    ['a port that is none', ['--port', 'http'], '--port takes a number'],
  ])('%s', async (_what, args, words) => {
    expect(await refusal(...args)).toContain(words)
  })

  test('a platform without an embedded PostgreSQL', async () => {
    const elsewhere = join(folder, 'elsewhere.mjs')
    writeFileSync(elsewhere, "Object.defineProperty(process, 'platform', { value: 'win32' })")
    const started = start(process.execPath, [
      `--import=${elsewhere}`,
      join(ROOT, 'scripts/start.mjs'),
    ])
    expect(await started.exit).toBe(1)
    expect(started.output()).toContain('no embedded PostgreSQL for win32')
  })
})
