/** Admission as callers see it: over real connections. */
import { connect, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { inBackground } from '../src/context.ts'
import { eventually } from '../src/testing.ts'
import { problemOf, startService, type TestService } from './service.ts'

const LIMIT = 2

let service: TestService
/** Ends the handlers, or the background work, that wait. */
let release: () => void
let gate: Promise<void>
let handled = 0
/** Requests whose headers were read. */
let begun = 0

const stats = () => service.server.chassis.limiter.stats()
const inFlight = () => stats().inFlight
const idle = () => eventually('no permit taken', () => inFlight() === 0)

beforeAll(async () => {
  service = await startService(
    (server) => {
      server.addHook('onRequest', async () => {
        begun++
      })
      server.post('/wait', async () => {
        handled++
        await gate
        return { ok: true }
      })
      server.post('/background', async () => {
        handled++
        inBackground(gate)
        return { ok: true }
      })
      server.post('/fails', async () => {
        throw new Error('no')
      })
    },
    { limit: LIMIT },
  )
})

afterAll(() => service.stop())

beforeEach(async () => {
  await idle()
  handled = 0
  begun = 0
  gate = new Promise((resolve) => {
    release = resolve
  })
})

const REQUEST = 'POST /wait HTTP/1.1\r\nhost: x\r\nx-tenant-id: acme\r\ncontent-length: 0\r\n\r\n'

const wait = () => service.post('/wait', {})

describe('a permit', () => {
  test('comes back after an answer, a failure and a refusal', async () => {
    release()
    await wait()
    await service.post('/fails', {})
    await service.post('/wait', 'not JSON')
    await service.post('/nowhere', {})
    await service.get('/%zz')
    await idle()
  })

  test('of a caller that hung up stays taken until its handler has ended', async () => {
    const caller = connect(service.port, '127.0.0.1')
    caller.write(REQUEST)
    await eventually('the handler runs', () => handled === 1)
    await service.hangUp(caller)
    expect(inFlight()).toBe(1)
    release()
    await idle()
  })

  test('stays taken while work goes on behind the answer', async () => {
    expect((await service.post('/background', {})).status).toBe(200)
    expect(inFlight()).toBe(1)
    release()
    await idle()
  })

  test('does not leak with pipelined requests whose caller is gone', async () => {
    const socket = connect(service.port, '127.0.0.1')
    socket.write(REQUEST + REQUEST)
    await eventually('both handlers run', () => handled === 2)
    await service.hangUp(socket)
    release()
    await idle()
  })

  test('is given to no caller that hung up in the queue', async () => {
    const first = [wait(), wait()]
    await eventually('all permits taken', () => inFlight() === LIMIT)
    const caller = connect(service.port, '127.0.0.1')
    caller.write(REQUEST)
    await eventually('one waits', () => service.server.chassis.limiter.stats().queued === 1)
    await service.hangUp(caller)
    release()
    await Promise.all(first)
    await idle()
    expect(handled).toBe(LIMIT)
  })

  test('is not asked for by probes', async () => {
    const busy = [wait(), wait()]
    await eventually('all permits taken', () => inFlight() === LIMIT)
    for (const probe of ['/health', '/ready', '/metrics'])
      expect((await service.get(probe, {})).status).toBe(200)
    release()
    await Promise.all(busy)
  })
})

describe('a request above limit and queue', () => {
  test('is 429, not executed, retried by no proxy, and counted', async () => {
    const before = service.server.chassis.limiter.stats().rejected
    const answers = Array.from({ length: LIMIT + 2 * LIMIT + 1 }, wait)
    const refused = await Promise.race(answers)
    const problem = await problemOf(refused, 429, 'overloaded')
    expect(problem).toMatchObject({ retryable: true, outcome: 'not_executed' })
    expect(refused.headers.get('retry-after')).toBe('1')
    expect(refused.headers.get('x-envoy-ratelimited')).toBe('1')
    release()
    const statuses = (await Promise.all(answers)).map(({ status }) => status).sort()
    expect(statuses).toEqual([200, 200, 200, 200, 200, 200, 429])
    expect(service.server.chassis.limiter.stats().rejected).toBe(before + 1)
    const metrics = await (await service.get('/metrics')).text()
    expect(metrics).toMatch(new RegExp(`^limiter_rejected_total ${before + 1}$`, 'm'))
  })

  test('that waited 150 ms is 429 as well', async () => {
    const busy = [wait(), wait()]
    await eventually('all permits taken', () => inFlight() === LIMIT)
    const started = performance.now()
    await problemOf(await wait(), 429, 'overloaded')
    const waited = performance.now() - started
    expect(waited).toBeGreaterThanOrEqual(145)
    expect(waited).toBeLessThan(1000)
    release()
    await Promise.all(busy)
  })
})

describe('a body that comes later than its headers', () => {
  const sockets: Socket[] = []
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy()
  })

  /** A request without its body, `{}`. */
  async function announced(tenant = 'late'): Promise<Socket> {
    const before = begun
    const socket = connect(service.port, '127.0.0.1')
    sockets.push(socket)
    socket.on('error', () => undefined)
    socket.write(
      `POST /wait HTTP/1.1\r\nhost: x\r\nx-tenant-id: ${tenant}\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n`,
    )
    await eventually('its headers were read', () => begun > before)
    return socket
  }
  const answerOf = (socket: Socket) =>
    new Promise<string>((resolve) => socket.once('data', (data) => resolve(String(data))))

  test('takes no permit meanwhile: slow senders keep nobody out', async () => {
    for (let i = 0; i < 4 * LIMIT; i++) await announced()
    expect(inFlight()).toBe(0)
    release()
    expect((await wait()).status).toBe(200)
  })

  test('takes one once it is whole', async () => {
    const socket = await announced()
    socket.write('{}')
    await eventually('the handler runs', () => handled === 1)
    expect(inFlight()).toBe(1)
    release()
    expect(await answerOf(socket)).toMatch(/^HTTP\/1\.1 200 OK/)
  })

  test('is refused as others are where none comes free, and served where one does', async () => {
    const busy = [wait(), wait()]
    await eventually('all permits taken', () => inFlight() === LIMIT)
    const [patient, late] = [await announced(), await announced()]
    late.write('{}')
    expect(await answerOf(late)).toMatch(/^HTTP\/1\.1 429 .*x-envoy-ratelimited: 1\r\n/s)
    release()
    patient.write('{}')
    expect(await answerOf(patient)).toMatch(/^HTTP\/1\.1 200 OK/)
    await Promise.all(busy)
    expect(handled).toBe(LIMIT + 1)
  })

  test('whose caller hangs up in the queue takes none and leaves its log line', async () => {
    const busy = [wait(), wait()]
    await eventually('all permits taken', () => inFlight() === LIMIT)
    const socket = await announced('gone')
    const { rejected } = stats()
    socket.write('{}')
    await eventually('it waits', () => stats().queued === 1 || stats().rejected > rejected)
    await service.hangUp(socket)
    await service.requestLine((line) => line['tenant_id'] === 'gone')
    release()
    await Promise.all(busy)
    await idle()
    expect(handled).toBe(LIMIT)
  })
})

describe('while the server drains', () => {
  test('every answer closes its connection: begun before, refused, probes', async () => {
    const busy = [wait(), wait()]
    await eventually('all permits taken', () => inFlight() === LIMIT)
    service.server.chassis.phase = 'draining'
    const refused = await wait()
    expect(refused.status).toBe(429)
    expect(refused.headers.get('connection')).toBe('close')
    const ready = await service.get('/ready', {})
    expect({ status: ready.status, connection: ready.headers.get('connection') }).toEqual({
      status: 503,
      connection: 'close',
    })
    release()
    for (const answer of await Promise.all(busy)) {
      expect(answer.status).toBe(200)
      expect(answer.headers.get('connection')).toBe('close')
    }
    service.server.chassis.phase = 'ready'
  })
})
