/** G6: values that must stand as they are, because the default, the neighbour or the seed of them does something else. */
import { ORDER_MANAGEMENT } from '@oms/e2e/authz-matrix'
import type { KubernetesObject } from '@oms/lab/kubectl'
import { differences, fieldsNamed, findObject, idOf, ofKind } from '../objects.ts'
import { inSets, isProduction, type Rule } from '../rule.ts'

/** What never reached the application. */
const SAFE = 'connect-failure,refused-stream'
/** What may be done twice: also a try that was cut and an answer 503. */
const IDEMPOTENT = `${SAFE},reset,retriable-status-codes,503`

/** The limits of every service, for each calling pod. */
const LIMITS = {
  connectionPool: {
    tcp: { maxConnections: 100, connectTimeout: '1s' },
    http: { http1MaxPendingRequests: 50, http2MaxRequests: 100 },
  },
  outlierDetection: {
    consecutive5xxErrors: 5,
    interval: '10s',
    baseEjectionTime: '30s',
    maxEjectionPercent: 50,
  },
  loadBalancer: { simple: 'LEAST_REQUEST' },
  retryBudget: { percent: 20, minRetryConcurrency: 3 },
}

const TAGS = {
  tenant: { header: { name: 'x-tenant-id', defaultValue: 'unknown' } },
  service_type: { environment: { name: 'OMS_SERVICE_TYPE', defaultValue: 'other' } },
}

/** Names that others refer to, by documents, dashboards and the Istio set this one grew from. */
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
  'PodDisruptionBudget istio-system/istiod-pdb',
  'Istio default',
  'IstioCNI default',
] as const

interface Pin {
  readonly of: string
  /** Steps from the object to the field. */
  readonly at: readonly string[]
  /** undefined: the field must not be there. */
  readonly is: unknown
  readonly why: string
  readonly sets?: (name: string) => boolean
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
    at: [...PILOT, 'topologySpreadConstraints', '0', 'whenUnsatisfiable'],
    is: 'DoNotSchedule',
    why: 'Three istiods on one node are gone with the node.',
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
    at: ['spec', 'servers', '0', 'tls', 'mode'],
    is: 'ISTIO_MUTUAL',
    why: 'Without the caller’s identity the gateway’s policy cannot tell payment-service from anybody.',
  },
  {
    of: 'DestinationRule order-management/egressgateway-for-psp',
    at: ['spec', 'trafficPolicy', 'tls'],
    is: { mode: 'ISTIO_MUTUAL', sni: 'psp.example.com' },
    why: 'The gateway chooses its listener by the SNI: without it the connection is reset.',
  },
  {
    of: 'ServiceEntry order-management/psp',
    at: ['spec', 'exportTo'],
    is: ['.', 'istio-egress'],
    why: 'Exported to everyone, the host is known to proxies that have no route through the gateway, and they go out by themselves.',
  },
]

type Value = Readonly<Record<string, unknown>> | undefined

function valueAt(object: KubernetesObject, at: readonly string[]): unknown {
  return at.reduce<unknown>((value, step) => (value as Value)?.[step], object)
}

function pinned({ of, at, is, why, sets }: Pin): Rule {
  const path = at.join('.')
  return inSets({
    gate: 'G6',
    name: is === undefined ? `${of} has no ${path}` : `${of} pins ${path}`,
    why,
    mend: is === undefined ? 'Remove it.' : `Write ${JSON.stringify(is)}.`,
    ...(sets === undefined ? {} : { sets }),
    subjects: (set) => [findObject(set, of)].filter((object) => object !== undefined),
    wrong: (object) => differences(path, valueAt(object, at), is).map((what) => `${of}: ${what}`),
  })
}

const INSIDE = `.${ORDER_MANAGEMENT}.svc.cluster.local`

const isInside = ({ spec }: KubernetesObject): boolean => spec.host.endsWith(INSIDE)

interface Route {
  readonly name?: string
  readonly timeout?: string
  readonly fault?: object
  readonly retries?: {
    readonly attempts?: number
    readonly retryOn?: string
    readonly perTryTimeout?: string
  }
  readonly match?: readonly {
    readonly method?: { readonly exact?: string }
    readonly headers?: Readonly<Record<string, unknown>>
  }[]
  readonly headers?: {
    readonly request?: {
      readonly remove?: readonly string[]
      readonly set?: object
      readonly add?: object
    }
  }
  readonly route?: readonly { readonly destination: { readonly host: string } }[]
}

function routesOf(
  service: KubernetesObject,
): readonly { readonly id: string; readonly service: KubernetesObject; readonly route: Route }[] {
  const routes: readonly Route[] = service['spec'].http ?? []
  return routes.map((route, index) => ({
    id: `${idOf(service)}: spec.http[${index}]`,
    service,
    route,
  }))
}

/** Its answers may come twice by contract, whatever the method. */
const ALWAYS_IDEMPOTENT = `inventory-service${INSIDE}`

function isIdempotent({ match = [], route = [] }: Route): boolean {
  const keyed = match.every(
    ({ method, headers = {} }) =>
      method?.exact === 'GET' || headers['idempotency-key'] !== undefined,
  )
  return (
    (match.length > 0 && keyed) ||
    route.every(({ destination: { host } }) => host === ALWAYS_IDEMPOTENT)
  )
}

export const literalRules: readonly Rule[] = [
  ...PINS.map(pinned),
  inSets({
    gate: 'G6',
    name: 'the public names stand',
    why: 'Documents, dashboards, Argo CD and people refer to them; a renamed resource leaves the old one behind.',
    mend: 'Give it its name back.',
    subjects: () => PUBLIC_NAMES,
    wrong: (id, set) => (findObject(set, id) === undefined ? [`${id} is not there`] : []),
  }),
  inSets({
    gate: 'G6',
    name: 'every DestinationRule of the namespace says all the limits again',
    why: 'Rules are never merged: the most specific host wins whole, and what it leaves out is Envoy’s default (10 s to connect, no ejection, 10 % at most).',
    mend: 'Write the whole block, as in circuit-breaker-defaults.',
    subjects: (set) => ofKind(set, 'DestinationRule').filter(isInside),
    wrong: (rule) =>
      differences('spec.trafficPolicy', rule['spec'].trafficPolicy ?? {}, LIMITS).map(
        (what) => `${idOf(rule)}: ${what}`,
      ),
  }),
  inSets({
    gate: 'G6',
    name: 'no subset has a traffic policy of its own',
    why: 'What it names replaces the same part of the rule’s: the subset loses its limits, and each subset counts by itself.',
    mend: 'Remove it; limits stand in spec.trafficPolicy.',
    subjects: (set) => ofKind(set, 'DestinationRule'),
    wrong: (rule) =>
      ((rule['spec'].subsets ?? []) as readonly { name: string; trafficPolicy?: object }[])
        .filter(({ trafficPolicy }) => trafficPolicy !== undefined)
        .map(({ name }) => `${idOf(rule)}: subset ${name} has a trafficPolicy`),
  }),
  inSets({
    gate: 'G6',
    name: 'no DestinationRule has a field that is ignored',
    why: 'consecutiveErrors is accepted and does nothing (Envoy’s own 5 hides it); maxRetries does nothing beside a retryBudget.',
    mend: 'consecutive5xxErrors; retryBudget.',
    subjects: (set) => ofKind(set, 'DestinationRule'),
    wrong: (rule) =>
      ['consecutiveErrors', 'maxRetries']
        .flatMap((field) => fieldsNamed(field, rule['spec'], 'spec'))
        .map(({ path, value }) => `${idOf(rule)}: ${path} is ${value}`),
  }),
  inSets({
    gate: 'G6',
    name: 'no caller inside the mesh says how it speaks TLS',
    why: 'The proxies agree on mTLS by themselves; a `tls` block of DISABLE or SIMPLE makes them send plain text, or another certificate.',
    mend: 'Remove the tls block.',
    subjects: (set) => ofKind(set, 'DestinationRule').filter(isInside),
    wrong: (rule) =>
      fieldsNamed('tls', rule['spec'], 'spec').map(
        ({ path, value }) => `${idOf(rule)}: ${path} is ${JSON.stringify(value)}`,
      ),
  }),
  inSets({
    gate: 'G6',
    name: 'every route to a service says how often it is tried again',
    why: 'A route that says nothing has two retries of Istio’s own choice; attempts does not count the first try.',
    mend: `retries: {attempts: 2, retryOn: "${SAFE}"}`,
    subjects: (set) =>
      ofKind(set, 'VirtualService')
        .flatMap(routesOf)
        .filter(
          ({ route }) =>
            route.route?.some(({ destination }) => destination.host.endsWith(INSIDE)) &&
            route.fault === undefined,
        ),
    wrong: ({ id, route: { retries, timeout } }) => [
      ...(retries?.attempts === undefined ? [`${id}.retries.attempts is missing`] : []),
      ...(retries?.retryOn === undefined ? [`${id}.retries.retryOn is missing`] : []),
      ...(timeout === undefined ? [`${id}.timeout is missing: Envoy waits for ever`] : []),
    ],
  }),
  inSets({
    gate: 'G6',
    name: 'a retry is for what never arrived, or for what may be done twice',
    why: '5xx also retries a 500, which is a bug and fails again; `reset` alone misses a crash, which the server’s proxy answers as 503; after a space the rest is ignored.',
    mend: `"${SAFE}", or where the request may be done twice "${IDEMPOTENT}"`,
    subjects: (set) =>
      ofKind(set, 'VirtualService')
        .flatMap(routesOf)
        .filter(({ route }) => route.retries?.retryOn !== undefined && route.fault === undefined),
    wrong: ({ id, route: { retries } }) =>
      [SAFE, IDEMPOTENT].includes(retries?.retryOn as string)
        ? []
        : [`${id}.retries.retryOn is ${JSON.stringify(retries?.retryOn)}`],
  }),
  inSets({
    gate: 'G6',
    name: 'what is retried after it may have been done is a GET or has a key',
    why: 'Envoy does not look at the method: a POST without a key that is sent twice charges twice.',
    mend: 'Match GET, or POST with the header idempotency-key; a second route for the rest retries only what never arrived.',
    subjects: (set) =>
      ofKind(set, 'VirtualService')
        .flatMap(routesOf)
        .filter(({ route }) => route.retries?.retryOn?.includes('reset')),
    wrong: ({ id, route }) =>
      isIdempotent(route) ? [] : [`${id}.match also has requests without idempotency-key`],
  }),
  inSets({
    gate: 'G6',
    name: 'a try that may be repeated has a limit of its own',
    why: 'Without perTryTimeout one slow pod uses up the whole time, and there is no second try.',
    mend: 'retries.perTryTimeout, above the time in which the service answers.',
    subjects: (set) =>
      ofKind(set, 'VirtualService')
        .flatMap(routesOf)
        .filter(({ route }) => route.retries?.retryOn?.includes('reset')),
    wrong: ({ id, route: { retries } }) =>
      retries?.perTryTimeout === undefined ? [`${id}.retries.perTryTimeout is missing`] : [],
  }),
  inSets({
    gate: 'G6',
    name: 'the ingress takes away what only the mesh may say',
    why: 'A client that sets x-order-id or x-request-deadline-ms writes into traces and deadlines; x-tenant-id must not be removed here, for the verified one would go, too.',
    mend: 'headers: {request: {remove: [x-order-id, x-request-deadline-ms]}} on every route of the gateway.',
    subjects: (set) =>
      ofKind(set, 'VirtualService')
        .filter(({ spec }) => spec.gateways?.includes('istio-ingress/orders-gateway'))
        .flatMap(routesOf),
    wrong: ({ id, route: { headers } }) =>
      differences(`${id}.headers.request.remove`, headers?.request?.remove, [
        'x-order-id',
        'x-request-deadline-ms',
      ]),
  }),
  inSets({
    gate: 'G6',
    name: 'the ingress leads to the public paths only',
    why: 'A route without `uri` also leads to /internal, which then only a policy refuses; /api/v1/orders without its slash also matches /api/v1/orders-of-others.',
    mend: 'Match `exact: /api/v1/orders` and `prefix: /api/v1/orders/`.',
    subjects: (set) =>
      ofKind(set, 'VirtualService')
        .filter(({ spec }) => spec.gateways?.includes('istio-ingress/orders-gateway'))
        .flatMap(routesOf),
    wrong({ id, route }) {
      const match = (route.match ?? []) as readonly { uri?: { exact?: string; prefix?: string } }[]
      if (match.length === 0) return [`${id}.match is missing`]
      return match
        .filter(
          ({ uri }) =>
            !(
              uri?.exact?.startsWith('/api/v1/') ||
              (uri?.prefix?.startsWith('/api/v1/') && uri.prefix.endsWith('/'))
            ),
        )
        .map(({ uri }) => `${id}.match has ${JSON.stringify(uri)}`)
    },
  }),
  inSets({
    gate: 'G6',
    name: 'nobody outside hears who called inside',
    why: 'An egress gateway passes x-forwarded-client-cert on: the account and namespace of the caller, to a third party.',
    mend: 'headers: {request: {remove: [x-forwarded-client-cert, x-envoy-attempt-count]}} on its route.',
    subjects: (set) =>
      ofKind(set, 'VirtualService')
        .flatMap(routesOf)
        .filter(({ service, route }) => leavesTheMesh(service, route)),
    wrong: ({ id, route: { headers } }) =>
      differences(`${id}.headers.request.remove`, headers?.request?.remove, [
        'x-forwarded-client-cert',
        'x-envoy-attempt-count',
      ]),
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

function leavesTheMesh({ spec }: KubernetesObject, { route = [] }: Route): boolean {
  return (
    spec.gateways?.some((gateway: string) => gateway.startsWith('istio-egress/')) &&
    route.some(({ destination: { host } }) => !host.endsWith('.svc.cluster.local'))
  )
}
