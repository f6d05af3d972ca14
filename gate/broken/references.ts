/** G7: selectors, identities, namespaces, providers. */
import { type BrokenCopy, double, drop, set, unset } from './edits.ts'
import {
  DENY_ALL,
  HEALTH,
  ISTIO,
  JWT,
  MESH_TELEMETRY,
  ORDER,
  OUR_TELEMETRY,
  SIDECAR,
  STRICT,
  TO_PAYMENT,
} from './names.ts'

const ENV = '/spec/template/spec/containers/0/env'

export const referenceCopies: readonly BrokenCopy[] = [
  {
    mistake: 'a policy for pods that nobody has',
    gate: 'G7',
    breaks: [set(TO_PAYMENT, '/spec/selector/matchLabels/app', 'payments')],
    says: /allow-order-to-payment: its selector .*"payments".* selects no pods/,
  },
  {
    mistake: 'a budget for pods that nobody has',
    gate: 'G7',
    breaks: [
      set('PodDisruptionBudget istio-system/istiod-pdb', '/spec/selector/matchLabels/app', 'pilot'),
    ],
    says: /istiod-pdb: its selector .* selects no pods in istio-system/,
  },
  {
    mistake: 'a principal with a typo',
    gate: 'G7',
    breaks: [
      set(
        TO_PAYMENT,
        '/spec/rules/0/from/0/source/principals/0',
        'cluster.local/ns/order-management/sa/order',
      ),
    ],
    says: /has cluster\.local\/ns\/order-management\/sa\/order, which is no account/,
  },
  {
    mistake: 'a namespace with a typo',
    gate: 'G7',
    breaks: [set(HEALTH, '/spec/rules/0/from/0/source/namespaces/0', 'order-managment')],
    says: /namespaces has order-managment, which is not there/,
  },
  {
    mistake: 'a resource in a namespace that nobody makes',
    gate: 'G7',
    breaks: [set(SIDECAR, '/metadata/namespace', 'orders')],
    says: /Sidecar orders\/default: metadata\.namespace is not there/,
  },
  {
    mistake: 'a provider with a typo',
    gate: 'G7',
    breaks: [set(MESH_TELEMETRY, '/spec/tracing/0/providers/0/name', 'jaegar')],
    says: /mesh-telemetry: .*providers has jaegar; there are envoy, jaeger/,
  },
  {
    mistake: 'no provider at all',
    gate: 'G7',
    breaks: [unset(ISTIO, '/spec/values/meshConfig/extensionProviders')],
    says: /mesh-telemetry: .*providers has jaeger; there are envoy$/,
  },
  {
    mistake: 'a provider at a Service that is not there',
    gate: 'G7',
    breaks: [
      set(
        ISTIO,
        '/spec/values/meshConfig/extensionProviders/0/zipkin/service',
        'jaeger.jaeger.svc.cluster.local',
      ),
    ],
    says: /the provider jaeger is jaeger\.jaeger\.svc\.cluster\.local:9411: no such port/,
  },
  {
    mistake: 'two Telemetry for one namespace',
    gate: 'G7',
    breaks: [double(OUR_TELEMETRY, 'debugging')],
    says: /Telemetry order-management\/debugging: .*order-management-telemetry has no selector either/,
  },
  {
    mistake: 'two Sidecars for one namespace',
    gate: 'G7',
    breaks: [double(SIDECAR, 'wide')],
    says: /Sidecar order-management\/wide: .*default has no selector either/,
  },
  {
    mistake: 'mTLS of the mesh in another namespace',
    gate: 'G7',
    breaks: [set(STRICT, '/metadata/namespace', 'istio-ingress')],
    says: /no PeerAuthentication without a selector stands in istio-system/,
  },
  {
    mistake: 'deny-all in another namespace',
    gate: 'G7',
    breaks: [drop(DENY_ALL)],
    says: /no AuthorizationPolicy without a selector stands in istio-system/,
  },
  {
    mistake: 'a tenant that may starve the other',
    gate: 'G7',
    breaks: [drop('ResourceQuota tenant-a/fair-share')],
    says: /tenant-a: ResourceQuota is missing/,
  },
  {
    mistake: 'a tenant whose network admits the other',
    gate: 'G7',
    breaks: [
      set('NetworkPolicy tenant-a/same-namespace', '/spec/ingress/0/from/0', {
        namespaceSelector: {},
      }),
    ],
    says: /tenant-a: NetworkPolicy\.ingress\[0\]\.from\[0\]\.podSelector is missing/,
  },
  {
    mistake: 'a tenant whose proxies know everyone',
    gate: 'G7',
    breaks: [drop('Sidecar tenant-b/default')],
    says: /tenant-b: Sidecar is missing/,
  },
  {
    mistake: 'tokens of another issuer than the policy admits',
    gate: 'G7',
    breaks: [set(JWT, '/spec/jwtRules/0/issuer', 'https://login.example.com')],
    says: /requestPrincipals has https:\/\/issuer\.example\.com\/\*; tokens are checked for https:\/\/login/,
  },
  {
    mistake: 'a service that is told a wrong name',
    gate: 'G7',
    breaks: [set(ORDER, `${ENV}/7/value`, 'http://payments:8080')],
    says: /order-service: env PAYMENT_SERVICE_URL leads to payments: no Service/,
  },
  {
    mistake: 'a service that is told a wrong port',
    gate: 'G7',
    breaks: [set(ORDER, `${ENV}/7/value`, 'http://payment-service:80')],
    says: /env PAYMENT_SERVICE_URL leads to payment-service:80: it has 8080/,
  },
  {
    mistake: 'a Secret that nobody is asked to make',
    gate: 'G7',
    breaks: [set(ORDER, '/spec/template/spec/volumes/0/secret/secretName', 'order-db')],
    says: /order-service: it reads the Secret order-db, which is not in the table/,
  },
  {
    mistake: 'a tenant that admits the other',
    gate: 'G7',
    breaks: [
      set(
        'AuthorizationPolicy tenant-a/allow-same-namespace',
        '/spec/rules/0/from/0/source/namespaces',
        ['tenant-*'],
      ),
    ],
    says: /tenant-a: AuthorizationPolicy\.rules\[0\]\.from\[0\]\.source\.namespaces is \["tenant-\*"\]/,
  },
  {
    mistake: 'a tenant that accepts plain text',
    gate: 'G7',
    breaks: [set('PeerAuthentication tenant-b/tenant-b-mtls', '/spec/mtls/mode', 'PERMISSIVE')],
    says: /tenant-b: PeerAuthentication\.mtls\.mode is "PERMISSIVE", not "STRICT"/,
  },
  {
    mistake: 'a budget for every pod of the namespace',
    gate: 'G7',
    breaks: [
      unset(
        'PodDisruptionBudget order-management/payment-service',
        '/spec/selector/matchLabels/app',
      ),
    ],
    says: /PodDisruptionBudget .*payment-service: its selector is empty/,
  },
  {
    mistake: 'a Service of every pod of the namespace',
    gate: 'G7',
    breaks: [unset('Service jaeger/jaeger-query', '/spec/selector/app')],
    says: /Service jaeger\/jaeger-query: its selector is empty/,
  },
  {
    mistake: 'a role for an account that is not there',
    gate: 'G7',
    breaks: [drop('ServiceAccount monitoring/prometheus')],
    says: /ClusterRoleBinding prometheus: ServiceAccount monitoring\/prometheus is not there/,
  },
]
