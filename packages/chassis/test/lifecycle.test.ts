import { type ChildProcess, spawn } from 'node:child_process'
import { createServer as createTcpServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { freePort } from '../src/embedded-postgres.ts'
import { every, startLoops, stopOnce } from '../src/lifecycle.ts'
import { createTestDatabase, eventually, type TestDatabase } from '../src/testing.ts'
import { startService, type TestService } from './service.ts'

const NODE = fileURLToPath(new URL('../../../node_modules/.bin/node', import.meta.url))
const PROGRAM = fileURLToPath(new URL('./program.ts', import.meta.url))

interface Program {
  readonly origin: string
  readonly child: ChildProcess
  readonly output: () => string
  readonly exit: Promise<number | null>
}

const running: ChildProcess[] = []

afterEach(() => {
  for (const child of running.splice(0)) child.kill('SIGKILL')
})

async function start(
  database: TestDatabase,
  env: Record<string, string> = {},
  argument?: string,
): Promise<Program> {
  const port = await freePort()
  const child = spawn(NODE, [PROGRAM, ...(argument === undefined ? [] : [argument])], {
    env: { ...database.config, PORT: String(port), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.push(child)
  let text = ''
  child.stdout?.on('data', (chunk) => {
    text += chunk
  })
  child.stderr?.on('data', (chunk) => {
    text += chunk
  })
  return {
    origin: `http://127.0.0.1:${env['PORT'] ?? port}`,
    child,
    output: () => text,
    exit: new Promise((resolve) => child.once('close', (code) => resolve(code))),
  }
}

/** Status of a probe; undefined while nobody listens. */
async function statusOf(url: string): Promise<number | undefined> {
  try {
    return (await fetch(url, { headers: { connection: 'close' } })).status
  } catch {
    return undefined
  }
}

describe('a program', () => {
  let database: TestDatabase
  const owner = () => ({
    DATABASE_URL: database.config.DATABASE_URL.replace('//oms_life@', '//oms_life_owner@'),
  })

  beforeAll(async () => {
    database = await createTestDatabase('oms_life', {})
  })

  afterAll(() => database.drop())

  test('waits for its schema, alive but not ready; a stop meanwhile ends it with 0', async () => {
    const waiting = await start(database)
    await eventually('it waits', () => waiting.output().includes('waiting for the schema'))
    expect(await statusOf(`${waiting.origin}/health`)).toBe(200)
    expect(await statusOf(`${waiting.origin}/ready`)).toBe(503)
    waiting.child.kill('SIGTERM')
    expect(await waiting.exit).toBe(0)
    expect(waiting.output()).not.toContain('start refused')
  })

  test('becomes ready with the schema, and loses no request when it is stopped', async () => {
    const program = await start(database, { DRAIN_DELAY_MS: '400' })
    await eventually('it waits', () => program.output().includes('waiting for the schema'))
    const migration = await start(database, owner(), 'migrate')
    expect(await migration.exit).toBe(0)
    await eventually('it is ready', async () => (await statusOf(`${program.origin}/ready`)) === 200)

    const headers = { 'x-tenant-id': 'acme' }
    const slow = fetch(`${program.origin}/slow`, { headers })
    await eventually('the slow request runs', async () => {
      const { waiting } = (await (await fetch(`${program.origin}/count`, { headers })).json()) as {
        waiting: number
      }
      return waiting === 1
    })
    const stopped = performance.now()
    program.child.kill('SIGTERM')
    await eventually(
      'it is unready',
      async () => (await statusOf(`${program.origin}/ready`)) === 503,
    )
    // Proxies that have not heard of it yet are served as ever.
    const late = await fetch(`${program.origin}/count`, { headers })
    expect(late.status).toBe(200)
    expect(late.headers.get('connection')).toBe('close')
    await eventually(
      'nobody listens',
      async () => (await statusOf(`${program.origin}/ready`)) === undefined,
    )
    expect(performance.now() - stopped).toBeGreaterThanOrEqual(400)

    const answer = await slow
    expect(answer.status).toBe(200)
    expect(answer.headers.get('connection')).toBe('close')
    expect(await program.exit).toBe(0)
    const output = program.output()
    expect(output.indexOf('handed back')).toBeLessThan(output.indexOf('"path":"/slow"'))
    expect(output.indexOf('"path":"/slow"')).toBeLessThan(output.indexOf('closed'))
    expect(output).toContain('"msg":"stopped"')
  })

  test('that is stopped while its boot waits ends with 0, though the boot breaks', async () => {
    const program = await start(database, { BOOT: 'breaks' })
    await eventually('it waits', () => program.output().includes('boot waits'))
    program.child.kill('SIGTERM')
    expect(await program.exit).toBe(0)
    expect(program.output()).not.toMatch(/start refused|"msg":"ready"/)
  })

  test('whose port is taken says so and ends with 1', async () => {
    const taken = createTcpServer()
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
    const { port } = taken.address() as { port: number }
    const program = await start(database, { PORT: String(port) })
    expect(await program.exit).toBe(1)
    expect(program.output()).toContain(
      `Port ${port} on 127.0.0.1 is taken; stop what listens there or set PORT to another.\n`,
    )
    await new Promise((resolve) => taken.close(resolve))
  })

  test('whose database is refused says why and ends with 1', async () => {
    const program = await start(database, owner())
    expect(await program.exit).toBe(1)
    expect(program.output()).toContain('This database is refused: role oms_life_owner owns')
    expect(program.output()).not.toContain('"msg":"ready"')
  })

  test('with a schema that does not compile says whose it is, and ends with 1', async () => {
    const program = await start(database, { BOOT: 'schema' })
    expect(await program.exit).toBe(1)
    expect(program.output()).toContain('The schema of GET /broken, 200, does not compile: ')
    expect(program.output()).not.toContain('"msg":"ready"')
  })
})

describe('a loop', () => {
  let service: TestService

  afterEach(() => service.stop())

  const loop = { name: 'sweeps', ms: 10, deadlineMs: 1000, maxPermits: 4 }

  const outcomes = async (): Promise<Record<string, number>> => {
    const text = await (await service.get('/metrics')).text()
    const found = text.matchAll(/^sweeper_passes_total\{outcome="(\w+)"\} (\d+)$/gm)
    return Object.fromEntries([...found].map(([, outcome, count]) => [outcome, Number(count)]))
  }

  test('goes on after a failure, logs it, and counts what became of each pass', async () => {
    let passes = 0
    service = await startService((server) => {
      every(server, loop, async () => {
        passes++
        if (passes === 1) throw new Error('pass one failed')
        return passes === 2 ? 1 : 0
      })
    })
    startLoops(service.server)
    await eventually('three passes', () => passes >= 3)
    await stopOnce(service.server, 0)()
    expect(service.log.find((line) => line.includes('pass one failed'))).toContain(
      '"loop":"sweeps"',
    )
  })

  test('counts worked, idle and failed passes', async () => {
    const results = [async () => 1, async () => 0, async () => Promise.reject(new Error('no'))]
    let next = 0
    service = await startService(() => undefined)
    const { runOnce } = every(service.server, loop, () =>
      (results[next++] as () => Promise<number>)(),
    )
    for (const _ of results) await runOnce()
    expect(await outcomes()).toEqual({ worked: 1, idle: 1, failed: 1 })
  })

  test('is stopped only when its pass has ended, and starts no other', async () => {
    let passes = 0
    let end: (() => void) | undefined
    service = await startService((server) => {
      every(server, loop, async () => {
        passes++
        await new Promise<void>((resolve) => {
          end = resolve
        })
        return 1
      })
    })
    const events: string[] = []
    service.server.chassis.handBack.push(async () => void events.push('leases handed back'))
    startLoops(service.server)
    await eventually('a pass', () => end !== undefined)
    const stopping = service.stop().then(() => events.push('stopped'))
    expect((await service.get('/health', {})).status).toBe(200)
    events.push('pass ends')
    end?.()
    await stopping
    expect(events).toEqual(['pass ends', 'leases handed back', 'stopped'])
    expect(passes).toBe(1)
  })

  test('takes at most a tenth of the permits and leaves its pass out where none is free', async () => {
    const given: number[] = []
    service = await startService(() => undefined, { limit: 20 })
    const { limiter } = service.server.chassis
    const { runOnce } = every(service.server, loop, async (permits) => {
      given.push(permits)
      return 0
    })
    await runOnce()
    limiter.acquireLowPriority(2)
    await runOnce()
    expect(given).toEqual([2])
    limiter.releaseLowPriority(2)
    expect(limiter.stats().inFlight).toBe(0)
  })

  test('gives its permits back after a failure', async () => {
    service = await startService(() => undefined, { limit: 20 })
    const { runOnce } = every(service.server, loop, async () => Promise.reject(new Error('no')))
    await runOnce()
    expect(service.server.chassis.limiter.stats().inFlight).toBe(0)
  })

  test('comes at once after a full pass, and only then', async () => {
    const results = [128, 128, 127]
    let passes = 0
    service = await startService(() => undefined)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    every(service.server, { ...loop, ms: 1000, maxPermits: 1, batch: 128 }, async () => {
      passes++
      return results[passes - 1] ?? 0
    })
    startLoops(service.server)
    try {
      // Pauses are 0.8 to 1.2 s long.
      await vi.advanceTimersByTimeAsync(1200)
      expect(passes).toBe(3)
      await vi.advanceTimersByTimeAsync(1200)
      expect(passes).toBe(4)
    } finally {
      vi.useRealTimers()
    }
  })
})
