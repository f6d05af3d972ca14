/** How long the mesh waits: for a try, and for all of them. */
import { accessOf } from './cluster/measure.ts'
import { paymentCaller, readOf, triesOf } from './cluster/payment.ts'
import { between, proof } from './proof.ts'

const FILE = 'istio-config/virtualservice-retry-timeout.yaml'
const IDEMPOTENT = 'VirtualService payment-service-retry spec.http[0]'

proof(
  'timeout.per-try',
  {
    promise: 'A try that takes longer than 2 s is cut and made again, four in all.',
    manifests: [FILE],
    fields: [`${IDEMPOTENT}.retries.perTryTimeout`, `${IDEMPOTENT}.retries.retryOn`],
  },
  async (mesh, saw) => {
    const caller = await paymentCaller(mesh)
    const read = readOf({ fault: 'delay=3000' })
    const { value: answer, added } = await caller.during(() => caller.call(read))
    saw('ledger', 'payment-service: tries', await triesOf(mesh, read, 4), [1, 2, 3, 4])
    saw('ledger', 'the caller’s answer', answer.status, 504)
    // Four tries, and at most 0.275 s of back-off.
    saw('ledger', 'milliseconds to the answer', answer.ms, between(8000, 8900))
    saw('envoy', 'caller: upstream_rq_per_try_timeout', added('upstream_rq_per_try_timeout'), 4)
    const [line] = await accessOf(mesh, caller.pod, read.orderId)
    saw('envoy', 'caller: response_flags', line?.response_flags, 'URX,UT')
  },
)

proof(
  'timeout.total',
  {
    promise: 'An answer that has begun is cut after 10 s in all.',
    manifests: [FILE],
    fields: [`${IDEMPOTENT}.timeout`],
  },
  async (mesh, saw) => {
    const caller = await paymentCaller(mesh)
    const read = readOf({ fault: 'trickle=15000' })
    const { value: answer, added } = await caller.during(() => caller.call(read))
    saw('ledger', 'payment-service: tries', await triesOf(mesh, read, 1), [1])
    saw(
      'ledger',
      'the caller’s answer, cut',
      [answer.status, answer.error !== undefined],
      [200, true],
    )
    const [line] = await accessOf(mesh, caller.pod, read.orderId)
    saw('envoy', 'caller: response_flags', line?.response_flags, 'UT')
    saw('envoy', 'caller: duration, milliseconds', line?.duration, between(9950, 10_500))
    saw('envoy', 'caller: upstream_rq_timeout', added('upstream_rq_timeout'), 1)
  },
)
