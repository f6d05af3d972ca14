/** The statistics that proofs, alerts and people read: Istio shows few of them by itself. */
import type { Envoy } from './cluster/envoy.ts'
import { DENIED, GATEWAY_HTTP, IN_HANDSHAKE, NO_CHAIN, statOf } from './cluster/names.ts'
import { chargeOf, PAYMENT, paymentCaller } from './cluster/payment.ts'
import { probeServer } from './cluster/server.ts'
import { atLeast, proof } from './proof.ts'

const INBOUND = 'cluster.inbound|8080||;'

const CALLER = [
  ...[
    'ssl.handshake',
    'upstream_cx_overflow',
    'upstream_cx_connect_timeout',
    'upstream_cx_none_healthy',
    'upstream_rq_total',
    'upstream_rq_pending_overflow',
    'upstream_rq_active_overflow',
    'upstream_rq_retry',
    'upstream_rq_retry_success',
    'upstream_rq_retry_limit_exceeded',
    'upstream_rq_retry_overflow',
    'upstream_rq_per_try_timeout',
    'upstream_rq_timeout',
    'outlier_detection.ejections_active',
    'outlier_detection.ejections_overflow',
    'outlier_detection.ejections_enforced_consecutive_5xx',
    'circuit_breakers.default.cx_open',
    'circuit_breakers.default.rq_open',
    'circuit_breakers.default.rq_pending_open',
  ].map((stat) => statOf(PAYMENT, stat)),
  'tcp.BlackHoleCluster.downstream_cx_total',
  'control_plane.connected_state',
  ...['spans_sent', 'reports_sent', 'reports_dropped', 'reports_skipped_no_cluster'].map(
    (stat) => `tracing.zipkin.${stat}`,
  ),
]

const INBOUND_HTTP = [IN_HANDSHAKE, NO_CHAIN, 'http.inbound_0.0.0.0_8080;.downstream_rq_total']
const CALLEE = [
  ...INBOUND_HTTP,
  DENIED,
  'http.inbound_0.0.0.0_8080;.rbac.allowed',
  'tcp.rbac.denied',
  `${INBOUND}.upstream_rq_active_overflow`,
  `${INBOUND}.upstream_rq_pending_overflow`,
]

const GATEWAY = ['rbac.denied', 'jwt_authn.denied', 'downstream_rq_total'].map(
  (stat) => `${GATEWAY_HTTP}${stat}`,
)

/** Those that are not there, not even as 0. */
async function missing(envoy: Envoy, names: readonly string[]): Promise<readonly string[]> {
  const lines = (await envoy.get('/stats')).split('\n')
  return names.filter((name) => !lines.some((line) => line.startsWith(`${name}: `)))
}

proof(
  'stats.exposed',
  {
    promise: 'Every statistic that the proofs and the alerts read is there.',
    manifests: ['istio-control-plane/istio.yaml'],
    fields: [
      'Istio default spec.values.meshConfig.defaultConfig.proxyStatsMatcher.inclusionRegexps',
    ],
  },
  async (mesh, saw) => {
    // A proxy learns at its start what to count: both are made anew where that changes.
    const [caller, server] = await Promise.all([paymentCaller(mesh), probeServer(mesh)])
    const { value: answer, added } = await caller.during(() => caller.call(chargeOf()))
    const { envoy: callee } = await mesh.onePod('payment-service')
    saw('ledger', 'the caller’s answer', answer.status, 201)
    saw('envoy', 'caller: upstream_rq_total', added('upstream_rq_total'), atLeast(1))
    saw('envoy', 'caller: missing', await missing(await caller.envoy(), CALLER), [])
    saw('envoy', 'callee: missing', await missing(callee, CALLEE), [])
    saw('envoy', 'server: missing', await missing(await server.envoy(), INBOUND_HTTP), [])
    saw('envoy', 'gateway: missing', await missing(await mesh.gatewayEnvoy(), GATEWAY), [])
  },
)
