import { randomUUID } from 'node:crypto'
import { eventually } from '@oms/chassis/testing'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createScene, payment, problem, refund, type Scene, type Script } from './scene.ts'

const FAULT_POINT = Symbol.for('oms.fault-point')

let scene: Scene
beforeAll(async () => {
  // The races below cancel more often than a tenant may.
  scene = await createScene({ TENANT_CANCELS_PER_SECOND: '10000' })
})
afterAll(() => scene.close())
afterEach(() => {
  Reflect.deleteProperty(globalThis, FAULT_POINT)
})
beforeEach(() => {
  scene.approve()
})

const failing: Script = (response) => response.writeHead(503).end()
const REFUNDING = {
  state: '35',
  verdict: "'captured'",
  payment_token: 'NULL',
  cancel_requested_at: 'now()',
}
const COMPENSATING = { state: '40', verdict: "'declined'", payment_token: 'NULL' }

describe('POST /api/v1/orders/{id}/cancel', () => {
  test.each([
    ['pending', '10'],
    ['payment_unknown', '30'],
  ])('of a %s order writes the request down before any void goes out', async (_name, state) => {
    const orderId = await scene.given({ state, next_run_at: "now() + interval '1 s'" })
    let atVoid: unknown
    scene.on('void', (response, id) => {
      void scene.row(id).then((row) => {
        atVoid = { flag: row.cancel_requested_at, leased: (row.runs_in ?? 0) > 10 }
        payment(response, 200, id, { state: 'voided' })
      })
    })
    const answer = await scene.cancel(orderId)
    expect(atVoid).toEqual({ flag: expect.any(Date), leased: true })
    expect(answer.statusCode).toBe(200)
    expect(answer.headers['x-order-id']).toBe(orderId)
    expect(answer.json()).toMatchObject({
      order_id: orderId,
      state: 'cancelled',
      reason: 'cancelled_by_client',
    })
    expect(scene.commands(orderId)).toEqual(['void', 'release'])
    expect(await scene.outbox(orderId)).toEqual(['order.cancelled'])
  })

  test('survives a crash right after the request was written down', async () => {
    const orderId = await scene.given()
    Reflect.set(globalThis, FAULT_POINT, (name: string) => {
      if (name === 'order.cancel.after_flag') throw new Error('crash')
    })
    await scene.cancel(orderId)
    expect(scene.commands(orderId)).toEqual([])
    Reflect.deleteProperty(globalThis, FAULT_POINT)
    await scene.recoverTo(orderId, 'cancelled')
  })

  test('of captured money refunds it, in full and under a key of its own, then releases', async () => {
    scene.on('void', (response, id) => payment(response, 200, id))
    const orderId = await scene.given({ state: '30' })
    const answer = await scene.cancel(orderId)
    expect(answer.statusCode).toBe(200)
    expect(scene.commands(orderId)).toEqual(['void', 'refund', 'release'])
    const sent = scene.sent.find(({ endpoint }) => endpoint === 'refund')
    expect(sent?.body).toEqual({ refund_no: 1 })
    expect(sent?.headers).toMatchObject({
      'idempotency-key': `${orderId}:r1`,
      'x-order-id': orderId,
      'x-tenant-id': 'acme',
    })
    expect(await scene.row(orderId)).toMatchObject({
      verdict: 'refunded',
      reason: 'cancelled_by_client',
    })
  })

  test('that finds the card declined ends as declined: 409, the truth', async () => {
    scene.on('void', (response, id) =>
      payment(response, 200, id, { state: 'declined', decline_code: 'x' }),
    )
    const orderId = await scene.given({ state: '30' })
    const answer = await scene.cancel(orderId)
    expect(answer.statusCode).toBe(409)
    expect(answer.json()).toMatchObject({ type: 'https://oms.example/problems/order-final' })
    expect((await scene.row(orderId)).state).toBe(120)
  })

  test.each<[string, Record<string, string>]>([
    ['refunding', REFUNDING],
    ['compensating', COMPENSATING],
  ])('of a %s order is on its way: 202', async (state, fields) => {
    const orderId = await scene.given(fields)
    const answer = await scene.cancel(orderId, { 'x-request-deadline-ms': '400' })
    expect(answer.statusCode).toBe(202)
    expect(answer.headers).toMatchObject({
      location: `/api/v1/orders/${orderId}`,
      'retry-after': '1',
    })
    expect(answer.json().state).toBe(state)
    // Somebody else holds the lease.
    expect(scene.commands(orderId)).toEqual([])
  })

  test('of a refunding order whose lease ran out goes on with it', async () => {
    const orderId = await scene.given({ ...REFUNDING, next_run_at: 'now()' })
    expect((await scene.cancel(orderId)).statusCode).toBe(200)
    expect(scene.commands(orderId)).toEqual(['refund', 'release'])
  })

  test('of a cancelled order answers it again: 200, the same body, nothing sent', async () => {
    const orderId = await scene.given()
    const first = await scene.cancel(orderId)
    scene.approve()
    const again = await scene.cancel(orderId)
    expect([first.statusCode, again.statusCode]).toEqual([200, 200])
    expect(again.body).toBe(first.body)
    expect(scene.sent).toEqual([])
  })

  test('repeated while the first is under way waits for its end', async () => {
    let answerVoid: () => void = () => undefined
    scene.on('void', (response, id) => {
      answerVoid = () => payment(response, 200, id, { state: 'voided' })
    })
    const orderId = await scene.given()
    const first = scene.cancel(orderId)
    await eventually('the void is sent', () => scene.commands(orderId).includes('void'))
    const again = scene.cancel(orderId, {}, scene.other())
    answerVoid()
    const answers = await Promise.all([first, again])
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([200, 200])
    expect(scene.commands(orderId)).toEqual(['void', 'release'])
  })

  test.each([
    ['confirmed', { state: '100', verdict: "'captured'" }],
    ['rejected', { state: '110' }],
    ['declined', { state: '120', verdict: "'declined'" }],
  ])('of a %s order is refused: 409, final', async (state, fields) => {
    const orderId = await scene.given({
      ...fields,
      payment_token: 'NULL',
      next_run_at: 'NULL',
      finished_at: 'now()',
    })
    const answer = await scene.cancel(orderId)
    expect(answer.statusCode).toBe(409)
    expect(answer.json()).toMatchObject({
      type: 'https://oms.example/problems/order-final',
      outcome: 'final',
      retryable: false,
      order_id: orderId,
      detail: expect.stringContaining(state),
    })
    expect(scene.sent).toEqual([])
  })

  test('of an order that does not exist is refused: 404, and leaves no trace of it', async () => {
    const orderId = randomUUID()
    const answer = await scene.cancel(orderId)
    expect(answer.statusCode).toBe(404)
    expect(answer.json()).toMatchObject({
      type: 'https://oms.example/problems/not-found',
      order_id: orderId,
    })
    expect(await scene.row(orderId)).toBeUndefined()
  })

  test('takes an id in upper case, and no body or an empty one', async () => {
    const orderId = await scene.given()
    const url = `/api/v1/orders/${orderId.toUpperCase()}/cancel`
    expect((await scene.send('POST', url)).statusCode).toBe(200)
    expect((await scene.send('POST', url, {}, {})).statusCode).toBe(200)
    expect((await scene.send('POST', url, {}, { reason: 'x' })).statusCode).toBe(400)
  })

  test('answers 202 while the void is not known, and is carried out later', async () => {
    scene.on('void', failing)
    const orderId = await scene.given({ state: '30' })
    const answer = await scene.cancel(orderId)
    expect(answer.statusCode).toBe(202)
    expect(scene.commands(orderId)).toEqual(['void'])
    scene.approve()
    await scene.recoverTo(orderId, 'cancelled')
  })
})

describe('a charge under way', () => {
  test('cannot be voided: the next try comes after a second', async () => {
    scene.on('void', (response, id) => payment(response, 202, id, { state: 'processing' }))
    const orderId = await scene.given({ state: '30' })
    const answer = await scene.cancel(orderId)
    expect(answer.statusCode).toBe(202)
    const { state, runs_in } = await scene.row(orderId)
    expect(state).toBe(30)
    expect(runs_in).toBeGreaterThan(0.7)
    expect(runs_in).toBeLessThanOrEqual(1)
    scene.on('void', (response, id) => payment(response, 200, id))
    await scene.recoverTo(orderId, 'cancelled')
    expect(scene.commands(orderId)).toEqual(['void', 'void', 'refund', 'release'])
  })
})

describe('a refund', () => {
  test('that is under way is asked for again after a second, under the same key', async () => {
    scene.on('refund', (response, id) => refund(response, 202, id, 'processing'))
    const orderId = await scene.given({ ...REFUNDING, next_run_at: 'now()' })
    await scene.app.recover()
    const { state, runs_in } = await scene.row(orderId)
    expect(state).toBe(35)
    expect(runs_in).toBeGreaterThan(0.7)
    expect(runs_in).toBeLessThanOrEqual(1)
    scene.on('refund', (response, id) => refund(response, 201, id, 'done'))
    await scene.recoverTo(orderId, 'cancelled')
    const keys = scene.sent
      .filter(({ endpoint }) => endpoint === 'refund')
      .map(({ headers }) => headers['idempotency-key'])
    expect(keys).toEqual([`${orderId}:r1`, `${orderId}:r1`])
  })

  test('that the processor refused keeps the order refunding, calls for a person, and ends when r2 does', async () => {
    scene.on('refund', (response, id) => problem(response, 409, 'refund-failed', id))
    const orderId = await scene.given({ ...REFUNDING, next_run_at: 'now()' })
    await scene.app.recover()
    expect((await scene.row(orderId)).state).toBe(35)
    expect(scene.errors(orderId)).toMatchObject([{ command: 'refund', answer: 'refund_failed' }])
    expect(scene.commands(orderId)).toEqual(['refund'])
    // An operator sent r2: payment answers the repeated r1 with it.
    scene.on('refund', (response, id) => refund(response, 201, id, 'done'))
    await scene.recoverTo(orderId, 'cancelled')
  })
})

describe('a cancel that races with the verdict', () => {
  /** Starts an order, holds its charge back, then lets `first` decide who comes first at the row. */
  async function race(first: 'verdict' | 'cancel' | 'either'): Promise<{
    readonly orderId: string
    readonly cancelStatus: number
    readonly placeStatus: number
  }> {
    const orderId = randomUUID()
    let answerCharge: () => void = () => undefined
    const charged = new Promise<void>((resolve) => {
      held.set(orderId, (answer) => {
        answerCharge = answer
        resolve()
      })
    })
    const placed = scene.place(orderId)
    await charged
    let cancelled: ReturnType<Scene['cancel']>
    if (first === 'verdict') {
      answerCharge()
      await placed
      cancelled = scene.cancel(orderId, {}, scene.other())
    } else if (first === 'cancel') {
      cancelled = scene.cancel(orderId, {}, scene.other())
      await eventually(
        'the flag is set',
        async () => (await scene.row(orderId)).cancel_requested_at !== null,
      )
      answerCharge()
    } else {
      answerCharge()
      cancelled = scene.cancel(orderId, {}, scene.other())
    }
    const [cancelAnswer, placeAnswer] = await Promise.all([cancelled, placed])
    return { orderId, cancelStatus: cancelAnswer.statusCode, placeStatus: placeAnswer.statusCode }
  }

  /** The answer to hold back, by order. */
  const held = new Map<string, (answer: () => void) => void>()
  /** Whether the money was captured when the void came: the payment's truth. */
  function scriptTruth(): void {
    held.clear()
    scene.on('charge', (response, id) => {
      held.get(id)?.(() => payment(response, 201, id))
    })
    scene.on('void', (response, id) => payment(response, 200, id))
  }

  test('loses to a verdict that was written first: 409, confirmed, no refund', async () => {
    scriptTruth()
    const { orderId, cancelStatus, placeStatus } = await race('verdict')
    expect([cancelStatus, placeStatus]).toEqual([409, 201])
    expect(scene.commands(orderId)).toEqual(['reserve', 'charge'])
  })

  test('wins when its flag stands first: refunded, cancelled, never confirmed', async () => {
    scriptTruth()
    const { orderId, cancelStatus, placeStatus } = await race('cancel')
    expect(cancelStatus).toBe(200)
    expect([202, 409]).toContain(placeStatus)
    expect(scene.commands(orderId)).toContain('refund')
    expect(await scene.row(orderId)).toMatchObject({ state: 130, verdict: 'refunded' })
  })

  test('has exactly one of both ends, however close: 60 orders', async () => {
    scriptTruth()
    await scene.warmBoth()
    const ends = []
    for (let round = 0; round < 10; round++)
      for (const result of await Promise.all(Array.from({ length: 6 }, () => race('either')))) {
        const row = await scene.row(result.orderId)
        const { state } =
          row.state >= 100 ? row : await scene.recoverTo(result.orderId, 'cancelled')
        ends.push({ ...result, state, refunded: scene.commands(result.orderId).includes('refund') })
      }
    for (const { orderId, state, cancelStatus, refunded } of ends)
      if (state === 100) expect([orderId, cancelStatus, refunded]).toEqual([orderId, 409, false])
      else {
        expect([orderId, state, refunded]).toEqual([orderId, 130, true])
        expect([200, 202]).toContain(cancelStatus)
      }
  })

  test('is decided by the row’s lock: of 200 pairs of statements, each ends in one way', async () => {
    const { orders } = scene.app
    await scene.warmBoth()
    const ends = new Map<string, number>()
    for (let round = 0; round < 10; round++)
      await Promise.all(
        Array.from({ length: 20 }, async (_, i) => {
          const orderId = await scene.given({ state: i % 2 === 0 ? '10' : '30' })
          const key = { tenantId: 'acme', orderId }
          const order = await orders.find(key)
          if (order === undefined) throw new Error('given order not found')
          const verdict = () => orders.apply(order, 'captured', { answer: 'captured' })
          const cancel = () => scene.other().orders.requestCancel(key)
          const [applied, requested] =
            i % 4 < 2
              ? await Promise.all([verdict(), cancel()])
              : await Promise.all([cancel(), verdict()]).then(([a, b]) => [b, a] as const)
          const { state, cancel_requested_at: flag } = await scene.row(orderId)
          expect(state).toBe(flag === null ? 100 : 35)
          expect(applied.state).toBe(flag === null ? 'confirmed' : 'refunding')
          expect(requested?.role).toBe(flag === null ? 'final' : 'fresh')
          const end = String(state)
          ends.set(end, (ends.get(end) ?? 0) + 1)
        }),
      )
    expect((ends.get('100') ?? 0) + (ends.get('35') ?? 0)).toBe(200)
  })
})
