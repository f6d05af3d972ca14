/** G2. */
import { type BrokenCopy, rewrite, set, type ToolBrokenCopy, unset } from './edits.ts'
import { ALERTS, APPLICATION, CANARY, ISTIO, PAYMENT, PAYMENT_BREAKER, SIDECAR } from './names.ts'

export const schemaCopies: readonly BrokenCopy[] = [
  {
    mistake: 'a value that no chart of Sail has',
    gate: 'G2',
    breaks: [set(ISTIO, '/spec/values/pilot/autoscaleMinimum', 3)],
    says: /spec\.values\.pilot\.autoscaleMinimum is no field; there are cni, autoscaleMin/,
  },
  {
    mistake: 'a setting of the mesh one level too high',
    gate: 'G2',
    breaks: [set(ISTIO, '/spec/meshConfig', { accessLogEncoding: 'JSON' })],
    says: /spec\.meshConfig is no field/,
  },
  {
    mistake: 'a mode of outbound traffic that there is not',
    gate: 'G2',
    breaks: [set(ISTIO, '/spec/values/meshConfig/outboundTrafficPolicy/mode', 'DENY_ANY')],
    says: /outboundTrafficPolicy\.mode must be one of REGISTRY_ONLY, ALLOW_ANY/,
  },
  {
    mistake: 'a cluster-wide resource with a namespace',
    gate: 'G2',
    breaks: [set(ISTIO, '/metadata/namespace', 'istio-system')],
    says: /Istio istio-system\/default: metadata\.namespace is istio-system/,
  },
  {
    mistake: 'a resource without its namespace',
    gate: 'G2',
    breaks: [unset(SIDECAR, '/metadata/namespace')],
    says: /Sidecar default: metadata\.namespace is missing/,
  },
  {
    mistake: 'an alert with a misspelt field',
    gate: 'G2',
    breaks: [set(ALERTS, '/spec/groups/0/rules/0/annotation', { summary: 'x' })],
    says: /spec\.groups\[0\]\.rules\[0\]\.annotation is no field/,
  },
  {
    mistake: 'an option of Argo CD in the wrong place',
    gate: 'G2',
    breaks: [set(APPLICATION, '/spec/syncOptions', ['CreateNamespace=true'])],
    says: /spec\.syncOptions is no field/,
  },
  {
    mistake: 'an overlay renames the namespace',
    gate: 'G2',
    breaks: [
      rewrite(
        'overlays/kind/istio-config/kustomization.yaml',
        'kind: Kustomization\n',
        'kind: Kustomization\nnamespace: other\n',
      ),
    ],
    says: /namespace is no field/,
  },
]

export const schemaToolCopies: readonly ToolBrokenCopy[] = [
  {
    mistake: 'outlierDetection with a typo',
    gate: 'G2',
    breaks: [set(PAYMENT_BREAKER, '/spec/trafficPolicy/outlierDetetion', {})],
    says: /spec\.trafficPolicy\.outlierDetetion is no field; there are connectionPool/,
  },
  {
    mistake: 'a limit of HTTP among those of TCP',
    gate: 'G2',
    breaks: [set(PAYMENT_BREAKER, '/spec/trafficPolicy/connectionPool/tcp/http2MaxRequests', 100)],
    says: /connectionPool\.tcp\.http2MaxRequests is no field/,
  },
  {
    mistake: 'a number as a text',
    gate: 'G2',
    breaks: [set(CANARY, '/spec/http/1/route/0/weight', '100')],
    says: /spec\.http\[1\]\.route\[0\]\.weight must be integer/,
  },
  {
    mistake: 'retries of a VirtualService by the name that Envoy has for them',
    gate: 'G2',
    breaks: [set(CANARY, '/spec/http/1/retryPolicy', { numRetries: 2 })],
    says: /spec\.http\[1\]\.retryPolicy is no field/,
  },
  {
    mistake: 'a probe with a typo',
    gate: 'G2',
    breaks: [set(PAYMENT, '/spec/template/spec/containers/0/readinesProbe', {})],
    says: /containers\[0\]\.readinesProbe is no field/,
  },
  {
    mistake: 'a security context one level too high',
    gate: 'G2',
    breaks: [set(PAYMENT, '/spec/securityContext', { runAsNonRoot: true })],
    says: /spec\.securityContext is no field/,
  },
  {
    mistake: 'a port of a Service as a text',
    gate: 'G2',
    breaks: [set('Service order-management/payment-service', '/spec/ports/0/port', '8080')],
    says: /spec\.ports\[0\]\.port must be integer/,
  },
  {
    mistake: 'a NetworkPolicy with `from` where `to` belongs',
    gate: 'G2',
    breaks: [set('NetworkPolicy order-management/order-service', '/spec/egress/0/from', [])],
    says: /spec\.egress\[0\]\.from is no field/,
  },
  {
    mistake: 'a version of the API that is gone',
    gate: 'G2',
    breaks: [set(PAYMENT_BREAKER, '/apiVersion', 'networking.istio.io/v1alpha1')],
    says: /no schema knows networking\.istio\.io\/v1alpha1\/DestinationRule/,
  },
  {
    mistake: 'a budget for disruption with a typo',
    gate: 'G2',
    breaks: [set('PodDisruptionBudget istio-system/istiod-pdb', '/spec/maxUnavailible', 1)],
    says: /spec\.maxUnavailible is no field/,
  },
]
