/** How much one caller may ask of a service at once, and how much a service takes. */
import { until } from './cluster/api.ts'
import { countBy, median, mostAtOnce } from './cluster/measure.ts'
import { OM, statOf } from './cluster/names.ts'
import { chargeOf, linesOf, PAYMENT, paymentCaller, readOf } from './cluster/payment.ts'
import { atLeast, between, proof } from './proof.ts'

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
    // An answer that has begun is under way until its end: however slowly the calls begin, all overlap.
    const read = readOf({ fault: 'trickle=5000' })
    const { value: answers, added } = await caller.during(() =>
      // A call waits while its connection is made: a second for it, before fifty wait for that alone.
      caller.calls([{ ...read, repeat: 160 }], { everyMs: 20 }),
    )
    const lines = await linesOf(mesh, read, 150)
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

/** More for each pod than the 150 that one caller gets, and less than a caller's own limit. */
const [CALLERS_A_POD, CALLS_AT_ONCE] = [2, 90]
/** Each is a new connection, and of a caller's calls fifty may wait for theirs: 0.9 s. */
const EVERY_MS = 18

proof(
  'pool.inbound',
  {
    promise:
      'A service takes more than one caller may ask: two for each pod, with 90 requests each, are all served.',
    manifests: ['istio-config/sidecar.yaml'],
    fields: ['Sidecar order-management/default spec.inboundConnectionPool'],
    timeoutMs: 180_000,
  },
  async (mesh, saw) => {
    const pods = await mesh.pods('payment-service')
    const callers = await Promise.all(
      Array.from({ length: pods.length * CALLERS_A_POD }, () =>
        paymentCaller(mesh, { fresh: true }),
      ),
    )
    const all = callers.length * CALLS_AT_ONCE
    const servers = await mesh.envoyOfAll('app=payment-service', OM)
    // All overlap, within the 3 s that the mesh waits for it.
    const charge = chargeOf({ fault: 'delay=2500;status=200', key: null })
    const { value: answers, added } = await servers.during(() =>
      Promise.all(
        callers.map((caller) =>
          caller.calls([{ ...charge, repeat: CALLS_AT_ONCE }], { everyMs: EVERY_MS }),
        ),
      ),
    )
    const lines = await linesOf(mesh, charge, all)
    saw(
      'ledger',
      'the callers’ answers',
      countBy(answers.flat(), ({ status }) => status),
      { 200: all },
    )
    for (const { metadata } of pods) {
      const atOnce = mostAtOnce(lines.filter(({ pod }) => pod === metadata.name))
      saw('ledger', 'a pod of payment-service: at most at once', atOnce, between(151, all))
    }
    const inbound = (stat: string): number => added.of(statOf('inbound|8080||', stat))
    const overflows = OVERFLOWS.reduce((sum, stat) => sum + inbound(stat), 0)
    saw('envoy', 'payment-service: overflows', overflows, 0)
    saw(
      'envoy',
      'payment-service: upstream_rq_total',
      inbound('upstream_rq_total'),
      between(all, all + 10 * pods.length, 'and probes'),
    )
  },
)

/** An address that nobody has (RFC 5737). */
const NOWHERE = '192.0.2.1'
/** Enough that the lost address is chosen twice or more: of one of three, the odds against it are one in 115,000. */
const READS = 36
/** Others are answered in a few. */
const MET_IT_MS = 300

proof(
  'pool.connect',
  {
    promise:
      'A pod that does not answer the connect costs a call 1 s, and the next pod answers it.',
    manifests: [RULES],
    fields: [`${POOL}.tcp.connectTimeout`],
  },
  async (mesh, saw) => {
    const caller = await paymentCaller(mesh, { fresh: true })
    const envoy = await caller.envoy()
    await mesh.changes.create({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: 'payment-service-nowhere',
        namespace: OM,
        labels: { 'kubernetes.io/service-name': 'payment-service' },
      },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      endpoints: [{ addresses: [NOWHERE], conditions: { ready: true } }],
    })
    await until('the caller knows the address', 15_000, async () =>
      (await envoy.get('/clusters')).includes(`${PAYMENT}::${NOWHERE}:`) ? true : undefined,
    )
    const read = readOf({ fault: 'status=200' })
    const { value: answers, added } = await caller.during(() =>
      caller.calls([{ ...read, repeat: READS }]),
    )
    // Not the longest: a retry may choose the address again. Not the shortest: the node may say that it is unreachable.
    const met = answers.map(({ ms }) => ms).filter((ms) => ms > MET_IT_MS)
    saw(
      'ledger',
      'the caller’s answers',
      countBy(answers, ({ status }) => status),
      { 200: READS },
    )
    const slow = `milliseconds of a call that met it: median of ${met.length}`
    saw('ledger', slow, median(met), between(1000, 1500))
    const timedOut = added('upstream_cx_connect_timeout')
    saw('envoy', 'caller: upstream_cx_connect_timeout', timedOut, atLeast(1))
    const failed = added('upstream_cx_connect_fail')
    saw(
      'ledger',
      'milliseconds of those that met it, together',
      met.reduce((all, ms) => all + ms, 0),
      between(timedOut * 1000, failed * 1500, `Envoy: ${timedOut} of ${failed} connects timed out`),
    )
  },
)
