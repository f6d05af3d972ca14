/** How much one caller may ask of a service at once, and how much a service takes. */
import { countBy, mostAtOnce } from './cluster/measure.ts'
import { clusterOf, OM, statOf } from './cluster/names.ts'
import { chargeOf, linesOf, PAYMENT, paymentCaller } from './cluster/payment.ts'
import { scaleTo } from './cluster/scale.ts'
import { between, proof } from './proof.ts'

const RULES = 'istio-config/destinationrule-circuit-breaker.yaml'
const POOL = 'DestinationRule payment-service-circuit-breaker spec.trafficPolicy.connectionPool'

/** Envoy 1.38 and later count the limit of requests as `active`, before as `pending`: the sum is the same. */
const OVERFLOWS = ['upstream_rq_pending_overflow', 'upstream_rq_active_overflow'] as const

proof(
  'pool.limits',
  {
    promise:
      'From one caller 100 requests are under way and 50 wait; the rest is refused at once (UO).',
    manifests: [RULES],
    fields: [
      `${POOL}.http.http1MaxPendingRequests`,
      `${POOL}.http.http2MaxRequests`,
      `${POOL}.tcp.maxConnections`,
    ],
  },
  async (mesh, saw) => {
    const caller = await paymentCaller(mesh, { fresh: true })
    // Answered before the application, and without a key: nothing is sent again.
    const charge = chargeOf({ fault: 'delay=1000;status=200', key: null })
    const { value: answers, added } = await caller.during(() =>
      caller.calls([{ ...charge, repeat: 160 }], { everyMs: 4 }),
    )
    const lines = await linesOf(mesh, charge, 150)
    saw('ledger', 'payment-service: requests', lines.length, 150)
    saw(
      'ledger',
      'payment-service: at most at once',
      mostAtOnce(lines),
      between(95, 100, 'the clocks of two pods'),
    )
    saw(
      'ledger',
      'the caller’s answers',
      countBy(answers, ({ status }) => status),
      { 200: 150, 503: 10 },
    )
    const overflows = OVERFLOWS.reduce((sum, stat) => sum + added(stat), 0)
    saw('envoy', 'caller: overflows', overflows, 10)
    saw('envoy', 'caller: upstream_rq_total', added('upstream_rq_total'), 150)
  },
)

proof(
  'pool.inbound',
  {
    promise:
      'A service takes more than one caller may ask: two with 90 requests each are both served.',
    manifests: ['istio-config/sidecar.yaml'],
    fields: ['Sidecar order-management/default spec.inboundConnectionPool'],
    timeoutMs: 180_000,
  },
  async (mesh, saw) => {
    await scaleTo(mesh, 'payment-service', 1)
    const callers = [
      await paymentCaller(mesh, { fresh: true }),
      await paymentCaller(mesh, { fresh: true }),
    ]
    const [server] = await mesh.envoys('payment-service')
    if (server === undefined) throw new Error('payment-service has no pod')
    const charge = chargeOf({ fault: 'delay=2000;status=200', key: null })
    const { value: answers, added } = await server.during(() =>
      Promise.all(
        callers.map((caller) => caller.calls([{ ...charge, repeat: 90 }], { everyMs: 8 })),
      ),
    )
    const lines = await linesOf(mesh, charge, 180)
    saw(
      'ledger',
      'the callers’ answers',
      countBy(answers.flat(), ({ status }) => status),
      { 200: 180 },
    )
    saw('ledger', 'payment-service: at most at once', mostAtOnce(lines), between(151, 180))
    const inbound = (stat: string): number => added.of(statOf('inbound|8080|', stat))
    const overflows = OVERFLOWS.reduce((sum, stat) => sum + inbound(stat), 0)
    saw('envoy', 'payment-service: overflows', overflows, 0)
    saw(
      'envoy',
      'payment-service: upstream_rq_total',
      inbound('upstream_rq_total'),
      between(180, 190, 'and probes'),
    )
  },
)
void PAYMENT
void OM
void clusterOf
