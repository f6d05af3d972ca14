/** G6. */
import { type BrokenCopy, drop, set, unset } from './edits.ts'
import {
  CANARY,
  DEFAULTS,
  INVENTORY_RETRY,
  ISTIO,
  JAEGER_PLAIN,
  JWT,
  MESH_TELEMETRY,
  ORDER_SUBSETS,
  OUR_TELEMETRY,
  PAYMENT_BREAKER,
  PAYMENT_RETRY,
  STRICT,
  THROUGH_EGRESS,
} from './names.ts'

const POLICY = '/spec/trafficPolicy'
const MESH = '/spec/values/meshConfig'

export const literalCopies: readonly BrokenCopy[] = [
  {
    mistake: 'a rule that leaves ejection to the wildcard',
    gate: 'G6',
    breaks: [unset(PAYMENT_BREAKER, `${POLICY}/outlierDetection`)],
    says: /payment-service-circuit-breaker: spec\.trafficPolicy\.outlierDetection is missing/,
  },
  {
    mistake: 'a limit that is not the others’',
    gate: 'G6',
    breaks: [set(PAYMENT_BREAKER, `${POLICY}/connectionPool/tcp/maxConnections`, 200)],
    says: /connectionPool\.tcp\.maxConnections is 200, not 100/,
  },
  {
    mistake: 'Envoy’s own time to connect',
    gate: 'G6',
    breaks: [unset(DEFAULTS, `${POLICY}/connectionPool/tcp/connectTimeout`)],
    says: /connectTimeout is missing, it must be "1s"/,
  },
  {
    mistake: 'a round robin, which does not look at load',
    gate: 'G6',
    breaks: [set(ORDER_SUBSETS, `${POLICY}/loadBalancer/simple`, 'ROUND_ROBIN')],
    says: /loadBalancer\.simple is "ROUND_ROBIN", not "LEAST_REQUEST"/,
  },
  {
    mistake: 'no budget for retries',
    gate: 'G6',
    breaks: [unset(PAYMENT_BREAKER, `${POLICY}/retryBudget`)],
    says: /retryBudget is missing/,
  },
  {
    mistake: 'the limit of ejection is forgotten: 10 %',
    gate: 'G6',
    breaks: [unset(PAYMENT_BREAKER, `${POLICY}/outlierDetection/maxEjectionPercent`)],
    says: /maxEjectionPercent is missing, it must be 50/,
  },
  {
    mistake: 'consecutiveErrors, which does nothing',
    gate: 'G6',
    breaks: [set(PAYMENT_BREAKER, `${POLICY}/outlierDetection/consecutiveErrors`, 5)],
    says: /spec\.trafficPolicy\.outlierDetection\.consecutiveErrors is 5$/,
  },
  {
    mistake: 'maxRetries beside a budget',
    gate: 'G6',
    breaks: [set(PAYMENT_BREAKER, `${POLICY}/connectionPool/http/maxRetries`, 3)],
    says: /connectionPool\.http\.maxRetries is 3$/,
  },
  {
    mistake: 'a policy in a subset',
    gate: 'G6',
    breaks: [
      set(ORDER_SUBSETS, '/spec/subsets/1/trafficPolicy', { loadBalancer: { simple: 'RANDOM' } }),
    ],
    says: /subset canary has a trafficPolicy/,
  },
  {
    mistake: 'plain text to one service',
    gate: 'G6',
    breaks: [set(PAYMENT_BREAKER, `${POLICY}/tls`, { mode: 'DISABLE' })],
    says: /spec\.trafficPolicy\.tls is \{"mode":"DISABLE"\}$/,
  },
  {
    mistake: 'retries of every 5xx',
    gate: 'G6',
    breaks: [set(PAYMENT_RETRY, '/spec/http/0/retries/retryOn', '5xx,reset')],
    says: /retryOn is "5xx,reset"/,
  },
  {
    mistake: 'retries that miss a crash',
    gate: 'G6',
    breaks: [
      set(INVENTORY_RETRY, '/spec/http/0/retries/retryOn', 'connect-failure,refused-stream,reset'),
    ],
    says: /retryOn is "connect-failure,refused-stream,reset"/,
  },
  {
    mistake: 'spaces in retryOn',
    gate: 'G6',
    breaks: [set(PAYMENT_RETRY, '/spec/http/1/retries/retryOn', 'connect-failure, refused-stream')],
    says: /retryOn is "connect-failure, refused-stream"/,
  },
  {
    mistake: 'no word of retries: Istio’s two',
    gate: 'G6',
    breaks: [unset(PAYMENT_RETRY, '/spec/http/1/retries')],
    says: /payment-service-retry: spec\.http\[1\]\.retries\.attempts is missing/,
  },
  {
    mistake: 'a route without a timeout',
    gate: 'G6',
    breaks: [unset(PAYMENT_RETRY, '/spec/http/1/timeout')],
    says: /spec\.http\[1\]\.timeout is missing/,
  },
  {
    mistake: 'a charge without a key is sent twice',
    gate: 'G6',
    breaks: [unset(PAYMENT_RETRY, '/spec/http/0/match/1/headers')],
    says: /spec\.http\[0\]\.match also has requests without idempotency-key/,
  },
  {
    mistake: 'retries of everything',
    gate: 'G6',
    breaks: [unset(PAYMENT_RETRY, '/spec/http/0/match')],
    says: /spec\.http\[0\]\.match also has requests without idempotency-key/,
  },
  {
    mistake: 'a try without a limit',
    gate: 'G6',
    breaks: [unset(PAYMENT_RETRY, '/spec/http/0/retries/perTryTimeout')],
    says: /spec\.http\[0\]\.retries\.perTryTimeout is missing/,
  },
  {
    mistake: 'a client’s order id reaches the traces',
    gate: 'G6',
    breaks: [unset(CANARY, '/spec/http/1/headers')],
    says: /spec\.http\[1\]\.headers\.request\.remove is missing/,
  },
  {
    mistake: 'the verified tenant is removed with the forged one',
    gate: 'G6',
    breaks: [set(CANARY, '/spec/http/1/headers/request/remove/-', 'x-tenant-id')],
    says: /headers\.request\.remove is .*x-tenant-id/,
  },
  {
    mistake: 'the ingress leads to /internal, too',
    gate: 'G6',
    breaks: [unset(CANARY, '/spec/http/1/match')],
    says: /spec\.http\[1\]\.match is missing/,
  },
  {
    mistake: 'a prefix that also matches the neighbour',
    gate: 'G6',
    breaks: [set(CANARY, '/spec/http/1/match/1/uri/prefix', '/api/v1/orders')],
    says: /match has \{"prefix":"\/api\/v1\/orders"\}/,
  },
  {
    mistake: 'the card processor hears who called inside',
    gate: 'G6',
    breaks: [unset(THROUGH_EGRESS, '/spec/http/1/headers')],
    says: /psp-through-egress: spec\.http\[1\]\.headers\.request\.remove is missing/,
  },
  {
    mistake: 'every host of the internet',
    gate: 'G6',
    breaks: [set(ISTIO, `${MESH}/outboundTrafficPolicy/mode`, 'ALLOW_ANY')],
    says: /outboundTrafficPolicy\.mode is "ALLOW_ANY", not "REGISTRY_ONLY"/,
  },
  {
    mistake: 'slashes that slip past a policy',
    gate: 'G6',
    breaks: [unset(ISTIO, `${MESH}/pathNormalization`)],
    says: /pathNormalization\.normalization is missing/,
  },
  {
    mistake: 'a default provider takes Prometheus away',
    gate: 'G6',
    breaks: [set(ISTIO, `${MESH}/defaultProviders`, { tracing: ['jaeger'] })],
    says: /defaultProviders is \{"tracing":\["jaeger"\]\}, it must not be there/,
  },
  {
    mistake: 'every request is logged',
    gate: 'G6',
    breaks: [set(ISTIO, `${MESH}/accessLogFile`, '/dev/stdout')],
    says: /accessLogFile is "\/dev\/stdout", it must not be there/,
  },
  {
    mistake: 'log lines as text',
    gate: 'G6',
    breaks: [unset(ISTIO, `${MESH}/accessLogEncoding`)],
    says: /accessLogEncoding is missing, it must be "JSON"/,
  },
  {
    mistake: 'traces that the applications do not continue',
    gate: 'G6',
    breaks: [unset(ISTIO, `${MESH}/extensionProviders/0/zipkin/traceContextOption`)],
    says: /traceContextOption is missing/,
  },
  {
    mistake: 'tracing in the legacy place',
    gate: 'G6',
    breaks: [set(ISTIO, `${MESH}/defaultConfig/tracing`, { sampling: 100 })],
    says: /defaultConfig\.tracing is \{"sampling":100\}, it must not be there/,
  },
  {
    mistake: 'an application that starts before its proxy',
    gate: 'G6',
    breaks: [unset(ISTIO, `${MESH}/defaultConfig/holdApplicationUntilProxyStarts`)],
    says: /holdApplicationUntilProxyStarts is missing/,
  },
  {
    mistake: 'a proxy that leaves after 5 s',
    gate: 'G6',
    breaks: [unset(ISTIO, `${MESH}/defaultConfig/proxyMetadata/EXIT_ON_ZERO_ACTIVE_CONNECTIONS`)],
    says: /EXIT_ON_ZERO_ACTIVE_CONNECTIONS is missing/,
  },
  {
    mistake: 'certificates for a month',
    gate: 'G6',
    breaks: [set(ISTIO, `${MESH}/defaultConfig/proxyMetadata/SECRET_TTL`, '720h')],
    says: /SECRET_TTL is "720h", it must not be there/,
  },
  {
    mistake: 'a mesh that does not see every namespace',
    gate: 'G6',
    breaks: [set(ISTIO, `${MESH}/discoverySelectors`, [{ matchLabels: { mesh: 'yes' } }])],
    says: /discoverySelectors is .*, it must not be there/,
  },
  {
    mistake: 'a statistic that an alert reads is not exposed',
    gate: 'G6',
    breaks: [unset(ISTIO, `${MESH}/defaultConfig/proxyStatsMatcher/inclusionRegexps/0`)],
    says: /proxyStatsMatcher has nothing for cluster\.outbound\|8080\|\|payment-service;\.outlier_detection/,
  },
  {
    mistake: 'istiod’s budget by the chart, too',
    gate: 'G6',
    breaks: [set(ISTIO, '/spec/values/global/defaultPodDisruptionBudget/enabled', true)],
    says: /defaultPodDisruptionBudget\.enabled is true, not false/,
  },
  {
    mistake: 'half as many workers in each proxy',
    gate: 'G6',
    breaks: [set(ISTIO, '/spec/values/global/proxy/resources/limits/cpu', '1000m')],
    says: /limits\.cpu is "1000m", not "2000m"/,
  },
  {
    mistake: 'sidecars without the CNI plugin',
    gate: 'G6',
    breaks: [set(ISTIO, '/spec/values/pilot/cni/enabled', false)],
    says: /pilot\.cni\.enabled is false, not true/,
  },
  {
    mistake: 'one istiod',
    gate: 'G6',
    breaks: [set(ISTIO, '/spec/values/pilot/autoscaleMin', 1)],
    says: /autoscaleMin is 1, not 3/,
  },
  {
    mistake: 'a number of istiods that is ignored',
    gate: 'G6',
    breaks: [set(ISTIO, '/spec/values/pilot/replicaCount', 3)],
    says: /replicaCount is 3, it must not be there/,
  },
  {
    mistake: 'three istiods on one node',
    gate: 'G6',
    breaks: [
      set(
        ISTIO,
        '/spec/values/pilot/topologySpreadConstraints/0/whenUnsatisfiable',
        'ScheduleAnyway',
      ),
    ],
    says: /whenUnsatisfiable is "ScheduleAnyway", not "DoNotSchedule"/,
  },
  {
    mistake: 'a budget that stops every drain',
    gate: 'G6',
    breaks: [
      set('PodDisruptionBudget istio-system/istiod-pdb', '/spec', {
        minAvailable: 3,
        selector: { matchLabels: { app: 'istiod', istio: 'pilot' } },
      }),
    ],
    says: /istiod-pdb: spec\.minAvailable is 3, it must not be there/,
  },
  {
    mistake: 'a CNI plugin of another version',
    gate: 'G6',
    breaks: [set('IstioCNI default', '/spec/version', 'v1.30.3')],
    says: /IstioCNI default: spec\.version is "v1\.30\.3", not/,
  },
  {
    mistake: 'mTLS of the mesh with a selector',
    gate: 'G6',
    breaks: [set(STRICT, '/spec/selector', { matchLabels: { app: 'order-service' } })],
    says: /default-strict-mtls: spec\.selector is .*, it must not be there/,
  },
  {
    mistake: 'mTLS of the namespace is relaxed',
    gate: 'G6',
    breaks: [
      set(
        'PeerAuthentication order-management/order-management-mtls',
        '/spec/mtls/mode',
        'PERMISSIVE',
      ),
    ],
    says: /order-management-mtls: spec\.mtls\.mode is "PERMISSIVE", not "STRICT"/,
  },
  {
    mistake: 'spans in plain text',
    gate: 'G6',
    breaks: [set(JAEGER_PLAIN, '/spec/mtls/mode', 'PERMISSIVE')],
    says: /jaeger-query-plaintext: spec\.mtls\.mode is "PERMISSIVE"/,
  },
  {
    mistake: 'every request of the mesh is traced',
    gate: 'G6',
    breaks: [set(MESH_TELEMETRY, '/spec/tracing/0/randomSamplingPercentage', 100)],
    says: /randomSamplingPercentage is 100, not 1$/,
  },
  {
    mistake: 'a tag that the namespace’s own list has lost',
    gate: 'G6',
    breaks: [unset(OUR_TELEMETRY, '/spec/tracing/0/customTags/tenant')],
    says: /order-management-telemetry: spec\.tracing\.0\.customTags\.tenant is missing/,
  },
  {
    mistake: 'one service_type for all',
    gate: 'G6',
    breaks: [
      set(MESH_TELEMETRY, '/spec/tracing/0/customTags/service_type', {
        literal: { value: 'order' },
      }),
    ],
    says: /customTags\.service_type\.literal is .*, it must not be there/,
  },
  {
    mistake: 'the namespace is traced as rarely as the mesh',
    gate: 'G6',
    breaks: [unset(OUR_TELEMETRY, '/spec/tracing/0/randomSamplingPercentage')],
    says: /order-management-telemetry: .*randomSamplingPercentage is missing/,
  },
  {
    mistake: 'the gateway decides by the mesh’s 1 %',
    gate: 'G6',
    breaks: [
      set(
        'Telemetry istio-ingress/ingress-telemetry',
        '/spec/tracing/0/randomSamplingPercentage',
        1,
      ),
    ],
    says: /ingress-telemetry: .*randomSamplingPercentage is 1, not 10/,
  },
  {
    mistake: 'a log filter that loses aborts',
    gate: 'G6',
    breaks: [
      set(
        MESH_TELEMETRY,
        '/spec/accessLogging/0/filter/expression',
        'response.code >= 400 || response.grpc_status > 0',
      ),
    ],
    says: /filter\.expression is ".*grpc_status > 0", not/,
  },
  {
    mistake: 'tokens in clear',
    gate: 'G6',
    breaks: [
      set('Gateway istio-ingress/orders-gateway', '/spec/servers/-', {
        port: { number: 80, name: 'http', protocol: 'HTTP' },
        hosts: ['order-management/orders.example.com'],
      }),
    ],
    says: /spec\.servers\[1\] is .*, it must not be there/,
  },
  {
    mistake: 'the tenant is whoever the client says',
    gate: 'G6',
    breaks: [unset(JWT, '/spec/jwtRules/0/outputClaimToHeaders')],
    says: /outputClaimToHeaders is missing/,
  },
  {
    mistake: 'tokens for another service',
    gate: 'G6',
    breaks: [unset(JWT, '/spec/jwtRules/0/audiences')],
    says: /audiences is missing/,
  },
  {
    mistake: 'an egress gateway that does not ask who calls',
    gate: 'G6',
    breaks: [set('Gateway istio-egress/psp-egress', '/spec/servers/0/tls/mode', 'SIMPLE')],
    says: /psp-egress: .*tls\.mode is "SIMPLE", not "ISTIO_MUTUAL"/,
  },
  {
    mistake: 'no SNI to the egress gateway',
    gate: 'G6',
    breaks: [
      unset(
        'DestinationRule order-management/egressgateway-for-psp',
        '/spec/trafficPolicy/tls/sni',
      ),
    ],
    says: /egressgateway-for-psp: spec\.trafficPolicy\.tls\.sni is missing/,
  },
  {
    mistake: 'every proxy knows the card processor',
    gate: 'G6',
    breaks: [set('ServiceEntry order-management/psp', '/spec/exportTo', ['*'])],
    says: /psp: spec\.exportTo is \["\*"\], not/,
  },
  {
    mistake: 'a resource with another name',
    gate: 'G6',
    breaks: [drop(OUR_TELEMETRY)],
    says: /Telemetry order-management\/order-management-telemetry is not there/,
  },
]
