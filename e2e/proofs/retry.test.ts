/** Retries in the mesh: what is tried again, how often, when, and what it does to money. */
import { flagsOf, median } from './cluster/measure.ts'
import { chargeOf, linesOf, paymentCaller, readOf, TENANT, triesOf } from './cluster/payment.ts'
import { atLeast, atMost, proof } from './proof.ts'

const FILE = 'istio-config/virtualservice-retry-timeout.yaml'
const IDEMPOTENT = 'VirtualService payment-service-retry spec.http[0]'

proof(
  'retry.transient',
  {
    promise: 'Three 503s in a row do not reach the caller: the fourth try is answered.',
    manifests: [FILE],
    fields: [`${IDEMPOTENT}.retries.attempts`, `${IDEMPOTENT}.retries.retryOn`],
  },
  async (mesh, saw) => {
    const caller = await paymentCaller(mesh)
    const charge = chargeOf({ fault: 'status=503;attempts=1-3' })
    const { value: answer, added } = await caller.during(() => caller.call(charge))
    saw('ledger', 'payment-service: tries', await triesOf(mesh, charge, 4), [1, 2, 3, 4])
    saw('ledger', 'the caller’s answer', answer.status, 201)
    saw('envoy', 'caller: upstream_rq_retry', added('upstream_rq_retry'), 3)
    saw('envoy', 'caller: upstream_rq_retry_success', added('upstream_rq_retry_success'), 1)
  },
)

proof(
  'retry.exhausted',
  {
    promise: 'After four tries the caller has the 503, flagged URX.',
    manifests: [FILE],
    fields: [`${IDEMPOTENT}.retries.attempts`],
  },
  async (mesh, saw) => {
    const caller = await paymentCaller(mesh)
    const read = readOf({ fault: 'status=503' })
    const { value: answer, added } = await caller.during(() => caller.call(read))
    saw('ledger', 'payment-service: tries', await triesOf(mesh, read, 4), [1, 2, 3, 4])
    saw('ledger', 'the caller’s answer', answer.status, 503)
    saw('envoy', 'caller: upstream_rq_retry', added('upstream_rq_retry'), 3)
    saw('envoy', 'caller: retry_limit_exceeded', added('upstream_rq_retry_limit_exceeded'), 1)
    saw('envoy', 'caller: response_flags', await flagsOf(mesh, caller.pod, read.orderId), ['URX'])
  },
)

proof(
  'retry.not-500',
  {
    promise: 'A 500, 502 or 504 of the application is its answer: one try.',
    manifests: [FILE],
    fields: [`${IDEMPOTENT}.retries.retryOn`],
  },
  async (mesh, saw) => {
    const caller = await paymentCaller(mesh)
    for (const status of [500, 502, 504]) {
      const charge = chargeOf({ fault: `status=${status}` })
      const { value: answer, added } = await caller.during(() => caller.call(charge))
      saw('ledger', `payment-service: tries of a ${status}`, await triesOf(mesh, charge, 1), [1])
      saw('ledger', `the caller’s answer to a ${status}`, answer.status, status)
      saw('envoy', `caller: upstream_rq_retry of a ${status}`, added('upstream_rq_retry'), 0)
    }
  },
)

proof(
  'retry.unkeyed',
  {
    promise:
      'A POST without an idempotency key is sent once: a 503 of the application is its answer.',
    manifests: [FILE],
    fields: [
      `${IDEMPOTENT}.match`,
      'VirtualService payment-service-retry spec.http[1].retries.retryOn',
    ],
  },
  async (mesh, saw) => {
    const caller = await paymentCaller(mesh)
    const charge = chargeOf({ fault: 'status=503', key: null })
    const { value: answer, added } = await caller.during(() => caller.call(charge))
    saw('ledger', 'payment-service: tries', await triesOf(mesh, charge, 1), [1])
    saw('ledger', 'the caller’s answer', answer.status, 503)
    saw('envoy', 'caller: upstream_rq_retry', added('upstream_rq_retry'), 0)
    saw('envoy', 'caller: upstream_rq_completed', added('upstream_rq_completed'), 1)
  },
)

proof(
  'retry.money',
  {
    promise:
      'An answer lost after the commit is asked for again by the mesh: two tries, one charge.',
    manifests: [FILE],
    fields: [`${IDEMPOTENT}.match[1].headers`, `${IDEMPOTENT}.retries.retryOn`],
  },
  async (mesh, saw) => {
    const caller = await paymentCaller(mesh)
    const charge = chargeOf({ fault: 'drop=after;attempts=1' })
    const { value: answer, added } = await caller.during(() => caller.call(charge))
    const lines = await linesOf(mesh, charge, 2)
    saw('ledger', 'payment-service: tries', lines.map(({ attempt }) => attempt).sort(), [1, 2])
    saw('ledger', 'payment-service: aborted', lines.map(({ aborted }) => aborted).sort(), [
      false,
      true,
    ])
    saw(
      'ledger',
      'the caller’s answer',
      [answer.status, JSON.parse(answer.text).state],
      [201, 'captured'],
    )
    saw('envoy', 'caller: upstream_rq_retry', added('upstream_rq_retry'), 1)
    const charges = await mesh.processorLedger('charges', {
      tenant: TENANT,
      orderId: charge.orderId,
    })
    saw(
      'processor',
      'charges of the order',
      charges.map(({ status }) => status),
      ['succeeded'],
    )
  },
)

/** Envoy's back-off: random up to 25 ms times 1, 3, 7; and what a busy machine adds. Milliseconds. */
const LONGEST_GAPS = [25, 75, 175].map((most) => most + 100)
/** Odd. Their median is free of a single stall of the machine. */
const ROUNDS = 9
/** As many as the retry budget allows at once. */
const RETRYING = 3

proof(
  'retry.backoff',
  {
    promise: 'Retries wait a random time that grows: up to 25, 75, 175 ms.',
    manifests: [FILE],
    fields: [`${IDEMPOTENT}.retries.backoff (absent: Envoy’s own)`],
    timeoutMs: 90_000,
  },
  async (mesh, saw) => {
    const caller = await paymentCaller(mesh, { fresh: true })
    const charges = Array.from({ length: ROUNDS }, () =>
      chargeOf({ fault: 'status=503;attempts=1-3' }),
    )
    const { added } = await caller.during(() => caller.calls(charges, { workers: RETRYING }))
    const gaps = await Promise.all(
      charges.map(async (charge) => {
        const times = (await linesOf(mesh, charge, 4)).map(({ time }) => time)
        return times.slice(1).map((time, n) => time - (times[n] as number))
      }),
    )
    for (const [n, most] of LONGEST_GAPS.entries())
      saw(
        'ledger',
        `payment-service: milliseconds before retry ${n + 1}, median of ${ROUNDS}`,
        median(gaps.map((each) => each[n] ?? Number.POSITIVE_INFINITY)),
        atMost(most),
      )
    saw('envoy', 'caller: upstream_rq_retry', added('upstream_rq_retry'), 3 * ROUNDS)
  },
)

proof(
  'retry.budget',
  {
    promise:
      'Retries are at most a fifth of what is under way: an outage is not made four times as heavy.',
    manifests: ['istio-config/destinationrule-circuit-breaker.yaml'],
    fields: ['DestinationRule payment-service-circuit-breaker spec.trafficPolicy.retryBudget'],
  },
  async (mesh, saw) => {
    const caller = await paymentCaller(mesh, { fresh: true })
    const read = readOf({ fault: 'status=503;delay=20' })
    const calls = 500
    const { added } = await caller.during(() =>
      caller.calls([{ ...read, repeat: calls }], { workers: 50, rampMs: 200 }),
    )
    const tries = added('upstream_rq_total')
    const lines = await linesOf(mesh, read, tries)
    saw('ledger', 'payment-service: tries, as many as the caller’s Envoy made', lines.length, tries)
    saw('ledger', 'payment-service: tries a call', lines.length / calls, atMost(1.5))
    saw(
      'envoy',
      'caller: upstream_rq_retry_overflow',
      added('upstream_rq_retry_overflow'),
      atLeast(1),
    )
    saw('envoy', 'caller: upstream_rq_retry', added('upstream_rq_retry'), atLeast(1))
  },
)
