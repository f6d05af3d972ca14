/** G6: single values. */
import { type BrokenCopy, set, unset } from './edits.ts'
import {
  ISTIO,
  JAEGER_PLAIN,
  JWT,
  MESH_TELEMETRY,
  OUR_TELEMETRY,
  SIDECAR,
  STRICT,
  THROUGH_EGRESS,
} from './names.ts'

const MESH = '/spec/values/meshConfig'
const PSP = 'ServiceEntry order-management/psp'
const PSP_TLS = 'DestinationRule order-management/psp-tls-origination'
const PSP_PORT = '/spec/trafficPolicy/portLevelSettings/0/tls'

export const pinCopies: readonly BrokenCopy[] = [
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
    mistake: 'istiods spread over what no node has',
    gate: 'G6',
    breaks: [
      set(
        ISTIO,
        '/spec/values/pilot/topologySpreadConstraints/0/topologyKey',
        'kubernetes.io/host',
      ),
    ],
    says: /topologyKey is "kubernetes\.io\/host", not "kubernetes\.io\/hostname"/,
  },
  {
    mistake: 'a limit that the alert on memory does not know',
    gate: 'G6',
    breaks: [set(ISTIO, '/spec/values/pilot/resources/limits/memory', '8Gi')],
    says: /resources\.limits\.memory is "8Gi", not "2Gi"/,
  },
  {
    mistake: 'keys that somebody else serves',
    gate: 'G6',
    breaks: [set(JWT, '/spec/jwtRules/0/jwksUri', 'https://keys.example.org/jwks.json')],
    says: /jwksUri is "https:\/\/keys\.example\.org\/jwks\.json", not/,
  },
  {
    mistake: 'a pod that takes in more than it survives',
    gate: 'G6',
    breaks: [set(SIDECAR, '/spec/inboundConnectionPool/http/http2MaxRequests', 100_000)],
    says: /inboundConnectionPool\.http\.http2MaxRequests is 100000, not 1000/,
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
    mistake: 'no port on which traces are read',
    gate: 'G6',
    breaks: [unset(JAEGER_PLAIN, '/spec/portLevelMtls')],
    says: /spec\.portLevelMtls is missing/,
  },
  {
    mistake: 'plain text to the card processor',
    gate: 'G6',
    breaks: [set(PSP_TLS, `${PSP_PORT}/mode`, 'DISABLE')],
    says: /psp-tls-origination: .*tls\.mode is "DISABLE", not "SIMPLE"/,
  },
  {
    mistake: 'a certificate of whatever name',
    gate: 'G6',
    breaks: [unset(PSP_TLS, `${PSP_PORT}/sni`)],
    says: /psp-tls-origination: .*tls\.sni is missing/,
  },
  {
    mistake: 'a certificate of whatever authority',
    gate: 'G6',
    breaks: [unset(PSP_TLS, `${PSP_PORT}/caCertificates`)],
    says: /psp-tls-origination: .*tls\.caCertificates is missing/,
  },
  {
    mistake: 'variables for another Envoy',
    gate: 'G6',
    breaks: [set(ISTIO, '/spec/values/pilot/env', { PILOT_ENABLE_ALPN_FILTER: 'false' })],
    says: /spec\.values\.pilot\.env\.PILOT_ENABLE_ALPN_FILTER/,
  },
  {
    mistake: 'keys of tokens from a cloud’s metadata',
    gate: 'G6',
    breaks: [set(ISTIO, '/spec/values/pilot/env/BLOCKED_CIDRS_IN_JWKS_URIS', '127.0.0.0/8')],
    says: /BLOCKED_CIDRS_IN_JWKS_URIS is "127\.0\.0\.0\/8"/,
  },
  {
    mistake: 'no request metrics',
    gate: 'G6',
    breaks: [set(ISTIO, '/spec/values/telemetry', { enabled: false })],
    says: /spec\.values\.telemetry is \{"enabled":false\}, it must not be there/,
  },
  {
    mistake: 'no spans of a namespace',
    gate: 'G6',
    breaks: [set(OUR_TELEMETRY, '/spec/tracing/0/disableSpanReporting', true)],
    says: /order-management-telemetry: spec\.tracing\[0\]\.disableSpanReporting is true/,
  },
  {
    mistake: 'an exception for a port of every pod',
    gate: 'G6',
    breaks: [unset(JAEGER_PLAIN, '/spec/selector/matchLabels/app')],
    says: /jaeger-query-plaintext: spec\.selector\.matchLabels\.app is missing/,
  },
  {
    mistake: 'tokens that nobody checks',
    gate: 'G6',
    breaks: [set(JWT, '/spec/selector/matchLabels/istio', 'egressgateway')],
    says: /orders-jwt: spec\.selector\.matchLabels\.istio is "egressgateway", not/,
  },
  {
    mistake: 'an ingress that nobody reaches',
    gate: 'G6',
    breaks: [unset('Service istio-ingress/istio-ingressgateway', '/spec/type')],
    says: /istio-ingressgateway: spec\.type is missing, it must be "LoadBalancer"/,
  },
  {
    mistake: 'the CNI plugin where its pods are refused',
    gate: 'G6',
    breaks: [set('IstioCNI default', '/spec/namespace', 'istio-system')],
    says: /IstioCNI default: spec\.namespace is "istio-system", not "istio-cni"/,
  },
  {
    mistake: 'another root namespace',
    gate: 'G6',
    breaks: [set(ISTIO, '/spec/namespace', 'mesh')],
    says: /Istio default: spec\.namespace is "mesh", not "istio-system"/,
  },
  {
    mistake: 'a spread that does not count istiods',
    gate: 'G6',
    breaks: [
      set(
        ISTIO,
        '/spec/values/pilot/topologySpreadConstraints/0/labelSelector/matchLabels/app',
        'pilot',
      ),
    ],
    says: /topologySpreadConstraints\.0\.labelSelector\.matchLabels\.app is "pilot", not "istiod"/,
  },
  {
    mistake: 'payment-service goes out by itself',
    gate: 'G6',
    breaks: [unset(THROUGH_EGRESS, '/spec/gateways/0')],
    says: /psp-through-egress: spec\.gateways is \["istio-egress\/psp-egress"\], not/,
  },
  {
    mistake: 'the egress gateway sends to itself',
    gate: 'G6',
    breaks: [unset(THROUGH_EGRESS, '/spec/http/0/match/0/gateways')],
    says: /spec\.http\.0\.match\[0\]\.gateways is missing/,
  },
  {
    mistake: 'the way out is the gateway’s and the mesh’s',
    gate: 'G6',
    breaks: [unset(THROUGH_EGRESS, '/spec/http/1/match/0/gateways')],
    says: /spec\.http\.1\.match\[0\]\.gateways is missing/,
  },
  {
    mistake: 'an address that nobody has',
    gate: 'G6',
    breaks: [unset(PSP, '/spec/resolution')],
    says: /psp: spec\.resolution is missing, it must be "DNS"/,
  },
  {
    mistake: 'a card processor with a sidecar',
    gate: 'G6',
    breaks: [set(PSP, '/spec/location', 'MESH_INTERNAL')],
    says: /psp: spec\.location is "MESH_INTERNAL", not "MESH_EXTERNAL"/,
  },
  {
    mistake: 'a port that the proxy cannot route',
    gate: 'G6',
    breaks: [set(PSP, '/spec/ports/0/protocol', 'TCP')],
    says: /psp: spec\.ports\[0\]\.protocol is "TCP", not "HTTP"/,
  },
  {
    mistake: 'TLS on a port that nobody uses',
    gate: 'G6',
    breaks: [set(PSP_TLS, '/spec/trafficPolicy/portLevelSettings/0/port/number', 8443)],
    says: /psp-tls-origination: .*port\.number is 8443, not 443/,
  },
]
