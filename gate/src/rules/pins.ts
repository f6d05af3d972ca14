/** G6: single values that must stand as they are, because the default or the seed of them does something else. */
import { BASE } from '../manifests.ts'
import { fieldsNamed, idOf, ofKind } from '../objects.ts'
import { type Pin, pinned } from '../pin.ts'
import { inSets, isProduction, type Rule } from '../rule.ts'

const TAGS = {
  tenant: { header: { name: 'x-tenant-id', defaultValue: 'unknown' } },
  service_type: { environment: { name: 'OMS_SERVICE_TYPE', defaultValue: 'other' } },
}

const MESH = ['spec', 'values', 'meshConfig'] as const
const PILOT = ['spec', 'values', 'pilot'] as const
const FIRST_TRACING = ['spec', 'tracing', '0'] as const

const PINS: readonly Pin[] = [
  {
    of: 'PeerAuthentication istio-system/default-strict-mtls',
    at: ['spec'],
    is: { mtls: { mode: 'STRICT' } },
    why: 'A selector, or another namespace than the root one, and it is no longer the whole mesh that refuses plain text.',
  },
  {
    of: 'PeerAuthentication order-management/order-management-mtls',
    at: ['spec'],
    is: { mtls: { mode: 'STRICT' } },
    why: 'It holds the namespace when the mesh-wide policy is relaxed.',
  },
  {
    of: 'PeerAuthentication jaeger/jaeger-query-plaintext',
    at: ['spec', 'mtls', 'mode'],
    is: 'STRICT',
    why: 'Only the port of the reader is plain; the spans of the services are not.',
  },
  {
    of: 'PeerAuthentication jaeger/jaeger-query-plaintext',
    at: ['spec', 'portLevelMtls'],
    is: { 16686: { mode: 'PERMISSIVE' } },
    why: 'Whoever reads traces has no certificate of the mesh; on any other port plain text is nobody’s.',
  },
  {
    of: 'PeerAuthentication jaeger/jaeger-query-plaintext',
    at: ['spec', 'selector'],
    is: { matchLabels: { app: 'jaeger' } },
    why: 'An exception for a port needs a selector: without one the API server refuses it.',
  },
  {
    of: 'RequestAuthentication istio-ingress/orders-jwt',
    at: ['spec', 'selector'],
    is: { matchLabels: { istio: 'ingressgateway' } },
    why: 'Where it does not select the gateway no token is checked, and a client’s x-tenant-id stays.',
  },
  {
    of: 'RequestAuthentication istio-ingress/orders-jwt',
    at: ['spec', 'jwtRules', '0', 'jwksUri'],
    is: 'https://issuer.example.com/.well-known/jwks.json',
    why: 'Whoever serves the keys signs for every tenant; of an address that answers nothing every token is refused, and only istiod’s log says why. Another issuer is an overlay’s to name.',
    sets: (name) => name === BASE,
  },
  {
    of: 'Sidecar order-management/default',
    at: ['spec', 'inboundConnectionPool'],
    is: {
      tcp: { maxConnections: 1000 },
      http: { http1MaxPendingRequests: 500, http2MaxRequests: 1000 },
    },
    why: 'Below, the callers of one pod refuse each other; above, the proxy takes in more than a pod survives, where the application would shed.',
  },
  {
    of: 'Service istio-ingress/istio-ingressgateway',
    at: ['spec', 'type'],
    is: 'LoadBalancer',
    why: 'Without it nobody outside of the cluster reaches the gateway.',
  },
  {
    of: 'IstioCNI default',
    at: ['spec', 'namespace'],
    is: 'istio-cni',
    why: 'Only that namespace may have privileged pods.',
  },
  {
    of: 'Istio default',
    at: ['spec', 'namespace'],
    is: 'istio-system',
    why: 'It is the root namespace: what is for the whole mesh stands there, deny-all first.',
  },
  {
    of: 'Istio default',
    at: [...PILOT, 'topologySpreadConstraints', '0', 'labelSelector'],
    is: { matchLabels: { app: 'istiod' } },
    why: 'A constraint that does not count istiod’s own pods spreads nothing.',
  },
  {
    of: 'Istio default',
    at: [...MESH, 'outboundTrafficPolicy', 'mode'],
    is: 'REGISTRY_ONLY',
    why: 'With ALLOW_ANY, the default, any host of the internet is reached past the egress gateway.',
  },
  {
    of: 'Istio default',
    at: [...MESH, 'pathNormalization', 'normalization'],
    is: 'MERGE_SLASHES',
    why: '`//api/v1//payments` is another path to a policy, and the same one to the application.',
  },
  {
    of: 'Istio default',
    at: [...MESH, 'defaultProviders'],
    is: undefined,
    why: 'Any default provider takes the implicit one for Prometheus away: no istio_* metric any more.',
  },
  {
    of: 'Istio default',
    at: [...MESH, 'accessLogFile'],
    is: undefined,
    why: 'It logs every request of every pod; the Telemetry resources say what is logged.',
  },
  {
    of: 'Istio default',
    at: [...MESH, 'accessLogEncoding'],
    is: 'JSON',
    why: 'The default is text, and whoever reads the log by field reads nothing.',
  },
  {
    of: 'Istio default',
    at: [...MESH, 'extensionProviders', '0'],
    is: {
      name: 'jaeger',
      zipkin: {
        service: 'jaeger-collector.jaeger.svc.cluster.local',
        port: 9411,
        traceContextOption: 'USE_B3_WITH_W3C_PROPAGATION',
      },
    },
    why: 'With another name, host or propagation the traces of proxies and applications fall apart, and nothing says so.',
  },
  {
    of: 'Istio default',
    at: [...MESH, 'defaultConfig', 'tracing'],
    is: undefined,
    why: 'The legacy way to trace; beside a Telemetry it is ignored, without one it decides the sampling.',
  },
  {
    of: 'Istio default',
    at: [...MESH, 'defaultConfig', 'holdApplicationUntilProxyStarts'],
    is: true,
    why: 'On nodes without native sidecars an application that dials at its start is refused by a proxy that is not there yet.',
  },
  {
    of: 'Istio default',
    at: [...MESH, 'defaultConfig', 'proxyMetadata'],
    is: { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: 'true' },
    why: 'By default a proxy leaves after 5 s and cuts a call of 8 s; SECRET_TTL or another ratio would change how certificates rotate.',
  },
  {
    of: 'Istio default',
    at: [...MESH, 'discoverySelectors'],
    is: undefined,
    why: 'One forgotten label, and istiod no longer knows Jaeger: tracing ends without a word.',
  },
  {
    of: 'Istio default',
    at: ['spec', 'values', 'global', 'defaultPodDisruptionBudget', 'enabled'],
    is: false,
    why: 'The chart’s budget would be a second one for istiod’s pods: every eviction answers 500.',
  },
  {
    of: 'Istio default',
    at: ['spec', 'values', 'global', 'proxy', 'resources', 'limits'],
    is: { cpu: '2000m', memory: '1Gi' },
    why: 'A proxy has as many workers as its limit has CPUs; they are pinned so that an upgrade does not move them.',
  },
  {
    of: 'Istio default',
    at: [...PILOT, 'cni', 'enabled'],
    is: true,
    why: 'Without the CNI plugin each pod gets istio-init, which needs NET_ADMIN: `restricted` refuses it.',
  },
  {
    of: 'Istio default',
    at: [...PILOT, 'autoscaleMin'],
    is: 3,
    why: 'replicaCount is ignored while autoscaling is on: without this there is one istiod.',
    sets: isProduction,
  },
  {
    of: 'Istio default',
    at: [...PILOT, 'replicaCount'],
    is: undefined,
    why: 'It is ignored while autoscaling is on, and promises what does not happen.',
  },
  {
    of: 'Istio default',
    at: [...PILOT, 'topologySpreadConstraints', '0'],
    is: {
      maxSkew: 1,
      topologyKey: 'kubernetes.io/hostname',
      whenUnsatisfiable: 'DoNotSchedule',
      labelSelector: { matchLabels: { app: 'istiod' } },
    },
    why: 'Three istiods on one node are gone with the node; of a key that no node has nothing is spread.',
    sets: isProduction,
  },
  {
    of: 'Istio default',
    at: [...PILOT, 'resources'],
    is: { limits: { memory: '2Gi' } },
    why: 'The alert on istiod’s memory is made for this limit: far above it nobody hears of a leak until a node is full.',
    sets: isProduction,
  },
  {
    of: 'Istio default',
    at: [...PILOT, 'env'],
    is: { BLOCKED_CIDRS_IN_JWKS_URIS: '127.0.0.0/8,::1/128,169.254.0.0/16,fe80::/10' },
    why: 'istiod fetches whatever a jwksUri names, a cloud’s metadata too. The lab’s variables are for a stock Envoy: a proxy of Istio has no request metrics with them.',
    sets: isProduction,
  },
  {
    of: 'Istio default',
    at: ['spec', 'values', 'telemetry'],
    is: undefined,
    why: 'With telemetry.enabled: false there is no istio_* metric; only the lab has it, for its stock Envoy.',
    sets: isProduction,
  },
  {
    of: 'PodDisruptionBudget istio-system/istiod-pdb',
    at: ['spec'],
    is: { maxUnavailable: 1, selector: { matchLabels: { app: 'istiod', istio: 'pilot' } } },
    why: 'minAvailable equal to the replicas blocks every drain; other labels guard nothing.',
  },
  {
    of: 'Telemetry istio-system/mesh-telemetry',
    at: [...FIRST_TRACING, 'randomSamplingPercentage'],
    is: 1,
    why: 'What the mesh traces of namespaces that say nothing; the default is 1 only while no older setting is there.',
  },
  {
    of: 'Telemetry istio-system/mesh-telemetry',
    at: [...FIRST_TRACING, 'customTags'],
    is: TAGS,
    why: 'A literal service_type is the same value for every service, and a header without defaultValue is no tag at all.',
  },
  {
    of: 'Telemetry istio-system/mesh-telemetry',
    at: ['spec', 'accessLogging', '0', 'filter', 'expression'],
    is: 'response.code >= 400 || response.flags != 0',
    why: 'A client that hangs up leaves code 0: by the code alone its request is not logged, and grpc_status > 0 is true for any 200.',
  },
  {
    of: 'Telemetry order-management/order-management-telemetry',
    at: [...FIRST_TRACING, 'randomSamplingPercentage'],
    is: 10,
    why: 'Without it the namespace has the mesh’s 1 %.',
  },
  {
    of: 'Telemetry order-management/order-management-telemetry',
    at: [...FIRST_TRACING, 'customTags'],
    is: { ...TAGS, order_id: { header: { name: 'x-order-id', defaultValue: 'none' } } },
    why: 'A namespace’s list replaces the mesh’s: a tag that is not repeated is gone.',
  },
  {
    of: 'Telemetry istio-ingress/ingress-telemetry',
    at: [...FIRST_TRACING, 'randomSamplingPercentage'],
    is: 10,
    why: 'Of requests from outside the gateway decides, not the namespace they go to.',
  },
  {
    of: 'Gateway istio-ingress/orders-gateway',
    at: ['spec', 'servers'],
    is: [
      {
        port: { number: 443, name: 'https', protocol: 'HTTPS' },
        hosts: ['order-management/orders.example.com'],
        tls: { mode: 'SIMPLE', credentialName: 'orders-example-com-tls' },
      },
    ],
    why: 'A port 80 lets a token travel in clear; a host without its namespace lets any namespace bind routes to it.',
  },
  {
    of: 'RequestAuthentication istio-ingress/orders-jwt',
    at: ['spec', 'jwtRules', '0', 'outputClaimToHeaders'],
    is: [{ header: 'x-tenant-id', claim: 'tenant' }],
    why: 'This is also what removes an x-tenant-id of the client: without it the tenant is whoever the client says.',
  },
  {
    of: 'RequestAuthentication istio-ingress/orders-jwt',
    at: ['spec', 'jwtRules', '0', 'audiences'],
    is: ['orders-api'],
    why: 'Without audiences a token that was made for another service of the same issuer is accepted.',
  },
  {
    of: 'Gateway istio-egress/psp-egress',
    at: ['spec', 'servers'],
    is: [
      {
        port: { number: 443, name: 'https', protocol: 'HTTPS' },
        hosts: ['order-management/psp.example.com'],
        tls: { mode: 'ISTIO_MUTUAL' },
      },
    ],
    why: 'Without the caller’s identity the gateway’s policy cannot tell payment-service from anybody.',
  },
  {
    of: 'VirtualService order-management/psp-through-egress',
    at: ['spec', 'gateways'],
    is: ['mesh', 'istio-egress/psp-egress'],
    why: 'Without `mesh` payment-service goes out by itself, in plain text; without the gateway nothing goes out of it.',
  },
  {
    of: 'VirtualService order-management/psp-through-egress',
    at: ['spec', 'http', '0', 'match'],
    is: [{ gateways: ['mesh'], port: 80 }],
    why: 'A route without its gateway also holds at the egress gateway, which then sends to itself.',
  },
  {
    of: 'VirtualService order-management/psp-through-egress',
    at: ['spec', 'http', '1', 'match'],
    is: [{ gateways: ['istio-egress/psp-egress'], port: 443 }],
    why: 'A route without its gateway also holds in the mesh: payment-service goes past the egress gateway.',
  },
  {
    of: 'ServiceEntry order-management/psp',
    at: ['spec', 'resolution'],
    is: 'DNS',
    why: 'Without it the gateway sends to the address that the caller dialled, which is nobody’s.',
  },
  {
    of: 'ServiceEntry order-management/psp',
    at: ['spec', 'location'],
    is: 'MESH_EXTERNAL',
    why: 'Inside of the mesh the proxies would offer mTLS to a host that has no proxy.',
  },
  {
    of: 'ServiceEntry order-management/psp',
    at: ['spec', 'ports'],
    is: [
      { number: 80, name: 'http', protocol: 'HTTP' },
      { number: 443, name: 'https', protocol: 'HTTPS' },
    ],
    why: 'By port 80 payment-service speaks HTTP, which its proxy can route; by 443 the gateway goes out.',
  },
  {
    of: 'DestinationRule order-management/psp-tls-origination',
    at: ['spec', 'trafficPolicy', 'portLevelSettings', '0', 'port'],
    is: { number: 443 },
    why: 'On another port the gateway speaks plain text to the card processor.',
  },
  {
    of: 'DestinationRule order-management/egressgateway-for-psp',
    at: ['spec', 'trafficPolicy', 'tls'],
    is: { mode: 'ISTIO_MUTUAL', sni: 'psp.example.com' },
    why: 'The gateway chooses its listener by the SNI: without it the connection is reset.',
  },
  {
    of: 'DestinationRule order-management/psp-tls-origination',
    at: ['spec', 'trafficPolicy', 'portLevelSettings', '0', 'tls', 'mode'],
    is: 'SIMPLE',
    why: 'Without it the gateway speaks plain text to port 443 of the card processor.',
  },
  {
    of: 'DestinationRule order-management/psp-tls-origination',
    at: ['spec', 'trafficPolicy', 'portLevelSettings', '0', 'tls', 'sni'],
    is: 'psp.example.com',
    why: 'The certificate is checked against it: without a name any certificate of a public authority is accepted.',
  },
  {
    of: 'DestinationRule order-management/psp-tls-origination',
    at: ['spec', 'trafficPolicy', 'portLevelSettings', '0', 'tls', 'caCertificates'],
    is: 'system',
    why: 'Without authorities the gateway trusts any certificate at all.',
    sets: isProduction,
  },
  {
    of: 'ServiceEntry order-management/psp',
    at: ['spec', 'exportTo'],
    is: ['.', 'istio-egress'],
    why: 'Exported to everyone, the host is known to proxies that have no route through the gateway, and they go out by themselves.',
  },
]

export const pinRules: readonly Rule[] = [
  ...PINS.map(pinned),
  inSets({
    gate: 'G6',
    name: 'no Telemetry switches off what others rely on',
    why: 'disableSpanReporting ends the traces, `disabled` the logs or metrics, of a whole namespace and without an error.',
    mend: 'Remove it.',
    subjects: (set) => ofKind(set, 'Telemetry'),
    wrong: (telemetry) =>
      ['disableSpanReporting', 'disabled']
        .flatMap((field) => fieldsNamed(field, telemetry['spec'], 'spec'))
        .filter(({ value }) => value === true)
        .map(({ path }) => `${idOf(telemetry)}: ${path} is true`),
  }),
]
