/** G6: names, versions and statistics that others count on. */
import { ISTIO_VERSION } from '@oms/lab/tools'
import { differences, findObject, ofKind } from '../objects.ts'
import { inSets, type Rule } from '../rule.ts'

/** Each does what nothing else here does; documents, dashboards and Argo CD know it by this name. */
const PUBLIC_NAMES = [
  'PeerAuthentication istio-system/default-strict-mtls',
  'PeerAuthentication order-management/order-management-mtls',
  'PeerAuthentication jaeger/jaeger-query-plaintext',
  'AuthorizationPolicy istio-system/deny-all',
  'AuthorizationPolicy order-management/allow-health-checks',
  'AuthorizationPolicy order-management/allow-order-to-payment',
  'DestinationRule order-management/circuit-breaker-defaults',
  'DestinationRule order-management/payment-service-circuit-breaker',
  'DestinationRule order-management/order-service-subsets',
  'VirtualService order-management/payment-service-retry',
  'VirtualService order-management/inventory-service-retry',
  'VirtualService order-management/order-service-canary',
  'Sidecar order-management/default',
  'Telemetry istio-system/mesh-telemetry',
  'Telemetry order-management/order-management-telemetry',
  'Telemetry istio-ingress/ingress-telemetry',
  'Gateway istio-ingress/orders-gateway',
  'Gateway istio-egress/psp-egress',
  'ServiceEntry order-management/psp',
  'RequestAuthentication istio-ingress/orders-jwt',
  'DestinationRule order-management/egressgateway-for-psp',
  'DestinationRule order-management/psp-tls-origination',
  'VirtualService order-management/psp-through-egress',
  'NetworkPolicy order-management/default-deny',
  'PodDisruptionBudget istio-system/istiod-pdb',
  'Istio default',
  'IstioCNI default',
] as const

/** As Envoy names them; those of mesh.md’s observation plan. */
const STATISTICS = [
  'cluster.outbound|8080||payment-service;.upstream_rq_pending_overflow',
  'cluster.outbound|8080||payment-service;.upstream_cx_connect_timeout',
  'cluster.outbound|8080||payment-service;.outlier_detection.ejections_active',
  'cluster.outbound|8080||payment-service;.circuit_breakers.default.cx_open',
  'cluster.outbound|8080||payment-service;.ssl.handshake',
  'listener.0.0.0.0_15006.ssl.handshake',
  'listener.0.0.0.0_15006.no_filter_chain_match',
  'http.outbound_0.0.0.0_8443;.downstream_rq_total',
  'http.outbound_0.0.0.0_8443;.jwt_authn.denied',
  'http.outbound_0.0.0.0_8080;.fault.aborts_injected',
  'tracing.zipkin.spans_sent',
  'tcp.BlackHoleCluster.downstream_cx_total',
  'control_plane.connected_state',
] as const

export const literalRules: readonly Rule[] = [
  inSets({
    gate: 'G6',
    name: 'every resource of the mesh is there, by its public name',
    why: 'What it does is done by no other; and a renamed resource leaves the old one behind in the cluster.',
    mend: 'Put it back, or give it its name back.',
    subjects: () => PUBLIC_NAMES,
    wrong: (id, set) => (findObject(set, id) === undefined ? [`${id} is not there`] : []),
  }),
  inSets({
    gate: 'G6',
    name: 'Istio and its CNI plugin are of one version',
    why: 'They are upgraded together: a plugin of another line writes rules that the proxies do not expect.',
    mend: 'The same spec.version in istio.yaml and istio-cni.yaml.',
    subjects: (set) => ofKind(set, 'IstioCNI'),
    wrong: (cni, set) =>
      differences(
        'IstioCNI default: spec.version',
        cni['spec'].version,
        findObject(set, 'Istio default')?.['spec'].version,
      ),
  }),
  inSets({
    gate: 'G6',
    name: 'the manifests are of the line of Istio that the lab runs',
    why: 'What was tried on one line need not hold on another: fields come and go, and defaults change.',
    mend: 'spec.version of that line in istio.yaml; a new line is first built into the lab (lab/src/tools.ts).',
    subjects: (set) => [findObject(set, 'Istio default')?.['spec'].version ?? 'missing'],
    wrong(version: string) {
      const line = (of: string): string => /\d+\.\d+/.exec(of)?.[0] ?? ''
      return line(version) === line(ISTIO_VERSION)
        ? []
        : [`Istio default: spec.version is ${version}, the lab runs ${ISTIO_VERSION}`]
    },
  }),
  inSets({
    gate: 'G6',
    name: 'every proxy exposes the statistics that proofs and alerts read',
    why: 'Istio exposes a short list unless proxyStatsMatcher says more: a stat that no expression matches is absent, and an alert on it never fires.',
    mend: 'An expression in spec.values.meshConfig.defaultConfig.proxyStatsMatcher.inclusionRegexps.',
    subjects: () => STATISTICS,
    wrong(name, set) {
      const matcher = findObject(set, 'Istio default')?.['spec'].values.meshConfig.defaultConfig
        ?.proxyStatsMatcher
      const regexps: readonly string[] = matcher?.inclusionRegexps ?? []
      return regexps.some((each) => new RegExp(`^(?:${each})$`).test(name))
        ? []
        : [
            `Istio default: spec.values.meshConfig.defaultConfig.proxyStatsMatcher has nothing for ${name}`,
          ]
    },
  }),
]
