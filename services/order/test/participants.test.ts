import { randomUUID } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { json } from '@oms/chassis/testing'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  createScene,
  type Endpoint,
  payment,
  problem,
  refund,
  reservation,
  type Scene,
  type Script,
} from './scene.ts'

const silent: Script = () => undefined

let scene: Scene
beforeAll(async () => {
  scene = await createScene()
})
afterAll(() => scene.close())
beforeEach(() => scene.approve())

const CANCELLED = { cancel_requested_at: 'now()' }
const REFUNDING = { state: '35', verdict: "'captured'", payment_token: 'NULL', ...CANCELLED }
const COMPENSATING = { state: '40', verdict: "'declined'", payment_token: 'NULL' }

/** A row whose next command is `endpoint`. */
const BEFORE: Readonly<Partial<Record<Endpoint, Readonly<Record<string, string>>>>> = {
  reserve: {},
  charge: {},
  void: CANCELLED,
  refund: REFUNDING,
  release: COMPENSATING,
}

/** The success that each endpoint should have told, about whichever order. */
const SUCCESS: Readonly<Partial<Record<Endpoint, Script>>> = {
  reserve: (response, orderId) => reservation(response, 201, orderId, 'held'),
  charge: (response, orderId) => payment(response, 201, orderId),
  void: (response, orderId) => payment(response, 200, orderId, { state: 'voided' }),
  refund: (response, orderId) => refund(response, 201, orderId, 'done'),
  release: (response, orderId) => reservation(response, 200, orderId, 'released'),
}

/** How the answer of a healthy participant goes wrong on its way. */
function spoilt(response: ServerResponse, spoil: (text: string) => string): ServerResponse {
  const end = response.end.bind(response)
  response.end = ((text: string) => end(spoil(text))) as ServerResponse['end']
  return response
}

type Unknown = readonly [string, (succeed: Script) => Script]

const status =
  (code: number, slug: string): ((succeed: Script) => Script) =>
  () =>
  (response, orderId) =>
    problem(response, code, slug, orderId, { retryable: true, outcome: 'unknown' })

const UNKNOWN: readonly Unknown[] = [
  ['a reset', () => (response) => response.destroy()],
  [
    'a reset in the middle of a body',
    () => (response) => {
      response.writeHead(201, { 'content-type': 'application/json', 'content-length': '500' })
      response.write('{"order_id":', () => response.destroy())
    },
  ],
  ['404', status(404, 'not-found')],
  ['409 busy', status(409, 'busy')],
  ['429', status(429, 'overloaded')],
  ['500', status(500, 'internal')],
  ['503', status(503, 'unavailable')],
  ['504 without a problem', () => (response) => response.writeHead(504).end('upstream timeout')],
  [
    'HTML with status 200',
    () => (response) =>
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html></html>'),
  ],
  [
    'HTML with status 201',
    () => (response) =>
      response.writeHead(201, { 'content-type': 'text/html' }).end('<html></html>'),
  ],
  [
    'a success of another order',
    (succeed) => (response, _id, request) => succeed(response, randomUUID(), request),
  ],
  [
    'a success without its state',
    (succeed) => (response, orderId, request) =>
      succeed(
        spoilt(response, (text) => text.replace('"state"', '"status"')),
        orderId,
        request,
      ),
  ],
  [
    'a success with an unknown state',
    (succeed) => (response, orderId, request) =>
      succeed(
        spoilt(response, (text) => text.replace(/"state":"\w+"/, '"state":"perhaps"')),
        orderId,
        request,
      ),
  ],
  [
    'a body above 256 KiB',
    (succeed) => (response, orderId, request) =>
      succeed(
        spoilt(response, (text) => `${text}${' '.repeat(300_000)}`),
        orderId,
        request,
      ),
  ],
  ['204', () => (response) => response.writeHead(204).end()],
  ['a redirect', () => (response) => response.writeHead(307, { location: '/elsewhere' }).end()],
]

/** State codes while nothing is known, by the command that was sent. */
const STAYS: Readonly<Partial<Record<Endpoint, number>>> = {
  reserve: 10,
  charge: 30,
  void: 10,
  refund: 35,
  release: 40,
}
const ENDS: Readonly<Partial<Record<Endpoint, 'confirmed' | 'cancelled' | 'declined'>>> = {
  reserve: 'confirmed',
  charge: 'confirmed',
  void: 'cancelled',
  refund: 'cancelled',
  release: 'declined',
}

describe('an answer that tells nothing', () => {
  test.each(Object.keys(BEFORE) as Endpoint[])(
    'to %s is never taken for an outcome, and the order ends later',
    async (endpoint) => {
      const spoilers = new Map<string, Unknown>()
      for (const unknown of UNKNOWN)
        spoilers.set(await scene.given({ ...BEFORE[endpoint], next_run_at: 'now()' }), unknown)
      const succeed = SUCCESS[endpoint] as Script
      scene.on(endpoint, (response, orderId, request) => {
        const script = spoilers.get(orderId)?.[1](succeed) ?? succeed
        script(response, orderId, request)
      })
      // As many as one pass takes at once, twice.
      await scene.app.recover()
      await scene.app.recover()
      const before = endpoint === 'charge' ? ['reserve'] : []
      for (const [orderId, [what]] of spoilers) {
        expect([what, scene.commands(orderId)]).toEqual([what, [...before, endpoint]])
        const row = await scene.row(orderId)
        expect([what, row.state, row.attempt]).toEqual([what, STAYS[endpoint], 1])
        // Backoff after the first attempt, not the lease.
        expect(row.runs_in).toBeLessThanOrEqual(1.5)
        expect([what, await scene.outbox(orderId)]).toEqual([what, []])
        expect([what, scene.errors(orderId)]).toEqual([what, []])
      }
      scene.approve()
      for (const orderId of spoilers.keys()) {
        await scene.recoverTo(orderId, ENDS[endpoint] ?? 'confirmed')
        expect(await scene.outbox(orderId)).toHaveLength(1)
      }
    },
  )
})

describe('an answer that contradicts the protocol', () => {
  test.each<[string, Endpoint, Script]>([
    [
      '422 to reserve',
      'reserve',
      (response, id) => problem(response, 422, 'idempotency-key-reuse', id),
    ],
    [
      'a rejected reservation with status 201',
      'reserve',
      (response, id) => reservation(response, 201, id, 'rejected'),
    ],
    [
      'a released reservation with status 201',
      'reserve',
      (response, id) => reservation(response, 201, id, 'released'),
    ],
    [
      '422 to charge',
      'charge',
      (response, id) => problem(response, 422, 'idempotency-key-reuse', id),
    ],
    [
      'a decline with status 201',
      'charge',
      (response, id) => payment(response, 201, id, { state: 'declined' }),
    ],
    [
      'a void with status 201',
      'charge',
      (response, id) => payment(response, 201, id, { state: 'voided' }),
    ],
    [
      'a running void with status 200',
      'void',
      (response, id) => payment(response, 200, id, { state: 'processing' }),
    ],
    [
      '409 not-captured to refund',
      'refund',
      (response, id) => problem(response, 409, 'not-captured', id),
    ],
    ['409 refund-failed', 'refund', (response, id) => problem(response, 409, 'refund-failed', id)],
    [
      'a failed refund with status 201',
      'refund',
      (response, id) => refund(response, 201, id, 'failed'),
    ],
    [
      '409 reservation-committed to release',
      'release',
      (response, id) => problem(response, 409, 'reservation-committed', id),
    ],
    [
      'a held reservation after release',
      'release',
      (response, id) => reservation(response, 200, id, 'held'),
    ],
    [
      'a committed reservation after release',
      'release',
      (response, id) => reservation(response, 200, id, 'committed'),
    ],
  ])(
    'calls for a person, changes nothing and is asked again: %s',
    async (_what, endpoint, script) => {
      const orderId = await scene.given({ ...BEFORE[endpoint], next_run_at: 'now()' })
      scene.on(endpoint, script)
      await scene.app.recover()
      expect(scene.errors(orderId)).toMatchObject([{ command: endpoint }])
      const row = await scene.row(orderId)
      expect(row.state).toBe(STAYS[endpoint])
      expect(row.runs_in).toBeGreaterThan(0)
      expect(scene.commands(orderId)).not.toContain(endpoint === 'release' ? 'refund' : 'release')
      scene.approve()
      await scene.recoverTo(orderId, ENDS[endpoint] ?? 'confirmed')
    },
  )
})

describe('reserve', () => {
  test('that finds its stock committed goes on to the charge', async () => {
    scene.on('reserve', (response, id) => reservation(response, 201, id, 'committed'))
    const orderId = await scene.given({ next_run_at: 'now()' })
    await scene.app.recover()
    expect(scene.commands(orderId)).toEqual(['reserve', 'charge'])
    expect((await scene.row(orderId)).state).toBe(100)
  })

  test('that finds its stock given back sends no charge: void, release, cancelled', async () => {
    scene.on('reserve', (response, id) => problem(response, 409, 'reservation-released', id))
    const orderId = await scene.given({ next_run_at: 'now()' })
    await scene.app.recover()
    expect(scene.commands(orderId)).toEqual(['reserve', 'void', 'release'])
    expect(await scene.row(orderId)).toMatchObject({
      state: 130,
      verdict: 'voided',
      reason: 'timed_out',
    })
  })

  test.each([undefined, 'BEANS', [1, 2]])(
    'that is refused without proper names (%j) still rejects',
    async (skus) => {
      scene.on('reserve', (response, id) =>
        problem(response, 409, 'out-of-stock', id, { unavailable_skus: skus }),
      )
      const key = randomUUID()
      const answer = await scene.place(key)
      expect(answer.statusCode).toBe(409)
      expect((await scene.place(key)).body).toBe(answer.body)
    },
  )
})

describe('a charge under way', () => {
  test('is followed by reading it until its verdict', async () => {
    scene.on('charge', (response, id) => payment(response, 202, id, { state: 'processing' }))
    let reads = 0
    scene.on('find', (response, id) =>
      payment(response, 200, id, { state: ++reads < 3 ? 'processing' : 'captured' }),
    )
    const key = randomUUID()
    expect((await scene.place(key)).statusCode).toBe(201)
    expect(scene.commands(key)).toEqual(['reserve', 'charge', 'find', 'find', 'find'])
    const find = scene.sent.find(({ endpoint }) => endpoint === 'find')
    expect(find?.headers).toMatchObject({ 'x-order-id': key, 'x-tenant-id': 'acme' })
    expect(find?.headers).not.toHaveProperty('idempotency-key')
  })

  test.each<[string, object, object]>([
    ['declined', { state: 'declined', decline_code: 'expired_card' }, { statusCode: 402 }],
    ['voided', { state: 'voided' }, { statusCode: 409 }],
  ])('that is read as %s gives the stock back', async (_what, fields, expected) => {
    scene.on('charge', (response, id) => payment(response, 202, id, { state: 'processing' }))
    scene.on('find', (response, id) => payment(response, 200, id, fields))
    const key = randomUUID()
    const answer = await scene.place(key)
    expect(answer).toMatchObject(expected)
    expect(scene.commands(key)).toEqual(['reserve', 'charge', 'find', 'release'])
    if (answer.statusCode === 402)
      expect(answer.json()).toMatchObject({ decline_code: 'expired_card' })
  })

  test('is no verdict, whatever state the 202 names', async () => {
    scene.on('charge', (response, id) => payment(response, 202, id, { state: 'captured' }))
    scene.on('find', (response, id) => payment(response, 200, id, { state: 'declined' }))
    expect((await scene.place(randomUUID())).statusCode).toBe(402)
  })

  test('that cannot be read (404, 500, HTML) is read again, never taken for "not charged"', async () => {
    scene.on('charge', (response, id) => payment(response, 202, id, { state: 'processing' }))
    const spoilt: Script[] = [
      (response, id) => problem(response, 404, 'not-found', id),
      (response) => response.writeHead(500).end(),
      (response) => response.writeHead(200).end('<html>'),
      (response, id) => payment(response, 200, id),
    ]
    scene.on('find', (response, id, request) => spoilt.shift()?.(response, id, request))
    const key = randomUUID()
    expect((await scene.place(key)).statusCode).toBe(201)
    expect(scene.commands(key)).not.toContain('release')
  })

  test('of an order in 30 is asked for again, without a second reservation', async () => {
    const orderId = await scene.given({ state: '30', next_run_at: 'now()' })
    await scene.app.recover()
    expect(scene.commands(orderId)).toEqual(['charge'])
    expect((await scene.row(orderId)).state).toBe(100)
  })
})

describe('a charge of a payment that was voided before', () => {
  test('ends as cancelled', async () => {
    scene.on('charge', (response, id) => problem(response, 409, 'payment-voided', id))
    const key = randomUUID()
    const answer = await scene.place(key)
    expect(answer.statusCode).toBe(409)
    expect(answer.json()).toMatchObject({ type: 'https://oms.example/problems/order-cancelled' })
    expect(scene.commands(key)).toEqual(['reserve', 'charge', 'release'])
  })
})

describe('a void', () => {
  test.each([
    ['captured', 35, 100],
    ['declined', 120, 120],
    ['voided', 130, 130],
  ])('that finds the payment %s takes that verdict', async (state, cancelled, late) => {
    scene.on('void', (response, id) => payment(response, 200, id, { state }))
    scene.on('refund', (response) => response.writeHead(500).end())
    const byCancel = await scene.given({ ...CANCELLED, next_run_at: 'now()' })
    const byTime = await scene.given({ decide_at: "now() - interval '1 s'", next_run_at: 'now()' })
    await scene.app.recover()
    expect((await scene.row(byCancel)).state).toBe(cancelled)
    expect((await scene.row(byTime)).state).toBe(late)
  })
})

describe('a payment of which somebody has asked the money back, met by an order that knows of no cancel', () => {
  test.each([
    ['a charge', 'charge', 201, {}, ['reserve', 'charge', 'refund', 'release']],
    ['a void', 'void', 200, { decide_at: "now() - interval '1 s'" }, ['void', 'refund', 'release']],
  ] as const)(
    'confirms nothing: %s finds it, the order is cancelled and ends when the refund has',
    async (_what, command, status, due, sent) => {
      scene.on(command, (response, id) => payment(response, status, id, { refund_no: 1 }))
      const orderId = await scene.given({ ...due, next_run_at: 'now()' })
      await scene.app.recover()
      expect(scene.commands(orderId)).toEqual(sent)
      const { state, verdict, cancel_requested_at } = await scene.row(orderId)
      expect({ state, verdict }).toEqual({ state: 130, verdict: 'refunded' })
      expect(cancel_requested_at).not.toBeNull()
    },
  )

  test('waits as refunding for a refund that the processor refused', async () => {
    scene.on('charge', (response, id) => payment(response, 201, id, { refund_no: 1 }))
    scene.on('refund', (response, id) => problem(response, 409, 'refund-failed', id))
    const orderId = await scene.given({ next_run_at: 'now()' })
    await scene.app.recover()
    expect((await scene.row(orderId)).state).toBe(35)
  })
})

describe('unlisted fields of an answer', () => {
  test('are ignored: a newer participant may say more', async () => {
    scene.on('charge', (response, id) => payment(response, 201, id, { captured_by: 'psp-2' }))
    scene.on('reserve', (response, id) =>
      json(response, 201, { order_id: id, state: 'held', lines: [], warehouse: 7 }),
    )
    expect((await scene.place(randomUUID())).statusCode).toBe(201)
  })
})

describe('a participant that never answers', () => {
  test('leaves the outcome unknown: nothing is released, 202 comes while the gateway waits, a later pass ends the order', () =>
    neverAnswered)
})

/** Ten seconds of waiting: begun before the other tests of this file, on a scene of its own. */
let neverAnswered: Promise<void>
beforeAll(() => {
  neverAnswered = hang()
  neverAnswered.catch(() => undefined)
})

async function hang(): Promise<void> {
  const slow = await createScene()

  const names = ['reserve', 'charge', 'polled', 'void', 'refund', 'release'] as const
  const cancelled = { cancel_requested_at: 'now()' }
  const rows = {
    reserve: await slow.given({ next_run_at: 'now()' }),
    polled: await slow.given({ state: '30', next_run_at: 'now()' }),
    void: await slow.given({ ...cancelled, next_run_at: 'now()' }),
    refund: await slow.given({
      ...cancelled,
      state: '35',
      verdict: "'captured'",
      payment_token: 'NULL',
      next_run_at: 'now()',
    }),
    release: await slow.given({
      state: '40',
      verdict: "'declined'",
      payment_token: 'NULL',
      next_run_at: 'now()',
    }),
    charge: randomUUID(),
  }
  const hanging = new Set<string>(Object.values(rows))
  for (const endpoint of ['reserve', 'void', 'refund', 'release'] as const)
    slow.on(endpoint, (response, id, request) => {
      if (endpoint === 'reserve' && id !== rows.reserve)
        response
          .writeHead(201, { 'content-type': 'application/json' })
          .end(JSON.stringify({ order_id: id, state: 'held', lines: [] }))
      else silent(response, id, request)
    })
  slow.on('charge', (response, id, request) => {
    if (id === rows.polled) payment(response, 202, id, { state: 'processing' })
    else silent(response, id, request)
  })
  slow.on('find', (response, id) => payment(response, 200, id, { state: 'processing' }))

  const from = performance.now()
  const [answer] = await Promise.all([slow.place(rows.charge), slow.app.recover()])
  const took = performance.now() - from
  // Due by 10.5 s; a busy machine may send it later, but the gateway waits 12 s.
  expect(took).toBeLessThan(12_000)
  expect(answer.statusCode).toBe(202)
  expect(answer.json()).toMatchObject({ state: 'payment_unknown' })

  const states = await Promise.all(names.map(async (name) => (await slow.row(rows[name])).state))
  expect(Object.fromEntries(names.map((name, i) => [name, states[i]]))).toEqual({
    reserve: 10,
    charge: 30,
    polled: 30,
    void: 10,
    refund: 35,
    release: 40,
  })
  // Each pass sends its command once; the mesh already retries.
  for (const name of ['reserve', 'void', 'refund', 'release'] as const)
    expect(slow.commands(rows[name])).toEqual([name])
  expect(slow.commands(rows.charge)).toEqual(['reserve', 'charge'])
  // 100 → 800 ms for 5 s.
  const polls = slow.commands(rows.polled)
  expect(polls[0]).toBe('charge')
  expect(polls.length - 1).toBeGreaterThanOrEqual(7)
  expect(polls.length - 1).toBeLessThanOrEqual(11)
  for (const orderId of hanging) {
    const { runs_in, state } = await slow.row(orderId)
    expect(state).toBeLessThan(100)
    // The pass wrote its own end: backoff, not what is left of the lease.
    expect(runs_in).toBeLessThanOrEqual(1.5)
  }
  slow.approve()
  await slow.recoverTo(rows.charge, 'confirmed')
  await slow.recoverTo(rows.void, 'cancelled')
  await slow.close()
}
