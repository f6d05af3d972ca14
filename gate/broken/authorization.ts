/** G5. */
import { type BrokenCopy, double, drop, set, unset } from './edits.ts'
import { DENY_ALL, HEALTH, TENANT_TOKEN, TO_JAEGER, TO_PAYMENT, TO_POSTGRES } from './names.ts'

const PATHS = '/spec/rules/0/to/0/operation/paths'
const PRINCIPALS = '/spec/rules/0/from/0/source/principals'

export const authorizationCopies: readonly BrokenCopy[] = [
  {
    mistake: 'nobody is refused',
    gate: 'G5',
    breaks: [drop(DENY_ALL)],
    says: /deny-all is not there/,
  },
  {
    mistake: 'deny-all in a namespace, where it proves nothing',
    gate: 'G5',
    breaks: [set(DENY_ALL, '/metadata/namespace', 'order-management')],
    says: /istio-system\/deny-all is not there/,
  },
  {
    mistake: 'an empty rule, which allows everything',
    gate: 'G5',
    breaks: [set(DENY_ALL, '/spec/rules', [{}])],
    says: /deny-all: spec is \{"rules":\[\{\}\]\}, not \{\}/,
  },
  {
    mistake: 'a DENY that hides what the others allow',
    gate: 'G5',
    breaks: [set(DENY_ALL, '/spec', { action: 'DENY', rules: [{}] })],
    says: /deny-all: spec is .*"DENY"/,
  },
  {
    mistake: 'the collection itself is forgotten',
    gate: 'G5',
    breaks: [unset(TO_PAYMENT, `${PATHS}/0`)],
    says: /it lacks that principals .*order-service may POST \/api\/v1\/payments$/,
  },
  {
    mistake: 'the members of the collection are forgotten',
    gate: 'G5',
    breaks: [unset(TO_PAYMENT, `${PATHS}/1`)],
    says: /it lacks that .* may GET \/api\/v1\/payments\/\*/,
  },
  {
    mistake: 'a method less',
    gate: 'G5',
    breaks: [set(TO_PAYMENT, '/spec/rules/0/to/0/operation/methods', ['GET'])],
    says: /it lacks that .* may POST/,
  },
  {
    mistake: 'a path more',
    gate: 'G5',
    breaks: [set(TO_PAYMENT, `${PATHS}/-`, '/internal/v1/refunds')],
    says: /may POST \/internal\/v1\/refunds, but the matrix says no/,
  },
  {
    mistake: 'no paths at all',
    gate: 'G5',
    breaks: [unset(HEALTH, PATHS)],
    says: /namespaces order-management may GET, but the matrix says no/,
  },
  {
    mistake: 'a caller more',
    gate: 'G5',
    breaks: [
      set(TO_PAYMENT, `${PRINCIPALS}/-`, 'cluster.local/ns/order-management/sa/inventory-service'),
    ],
    says: /inventory-service may POST \/api\/v1\/payments, but the matrix says no/,
  },
  {
    mistake: 'anybody with a certificate',
    gate: 'G5',
    breaks: [set(TO_PAYMENT, `${PRINCIPALS}/0`, '*')],
    says: /spec\.rules\[0\]\.from\[0\]\.source\.principals is \["\*"\]/,
  },
  {
    mistake: 'nobody is asked who he is',
    gate: 'G5',
    breaks: [unset(HEALTH, '/spec/rules/0/from')],
    says: /allow-health-checks: spec\.rules\[0\]\.from is missing/,
  },
  {
    mistake: 'a policy for every pod in place of one',
    gate: 'G5',
    breaks: [unset(TO_PAYMENT, '/spec/selector')],
    says: /spec\.selector\.matchLabels is undefined, not \{"app":"payment-service"\}/,
  },
  {
    mistake: 'a policy that the matrix does not know',
    gate: 'G5',
    breaks: [double(TO_PAYMENT, 'allow-debugging')],
    says: /allow-debugging: no row of e2e\/authz-matrix\.ts knows it/,
  },
  {
    mistake: 'a policy that is gone',
    gate: 'G5',
    breaks: [drop('AuthorizationPolicy order-management/allow-inventory-to-order')],
    says: /allow-inventory-to-order is not there/,
  },
  {
    mistake: 'a policy that denies',
    gate: 'G5',
    breaks: [set(TO_PAYMENT, '/spec/action', 'DENY')],
    says: /spec\.action is DENY/,
  },
  {
    mistake: 'a wildcard that also matches the neighbour',
    gate: 'G5',
    breaks: [set(TO_PAYMENT, PATHS, ['/api/v1/payments*'])],
    says: /paths has \/api\/v1\/payments\*/,
  },
  {
    mistake: 'a wildcard in the middle, which is a letter',
    gate: 'G5',
    breaks: [
      set(
        'AuthorizationPolicy order-management/allow-ingress-to-order',
        `${PATHS}/1`,
        '/api/v1/orders/*/cancel',
      ),
    ],
    says: /paths has \/api\/v1\/orders\/\*\/cancel/,
  },
  {
    mistake: 'a method in a rule for TCP',
    gate: 'G5',
    breaks: [set(TO_POSTGRES, '/spec/rules/0/to/0/operation/methods', ['GET'])],
    says: /allow-services-to-postgres: spec\.rules\[0\] has methods/,
  },
  {
    mistake: 'spans from one namespace less',
    gate: 'G5',
    breaks: [unset(TO_JAEGER, '/spec/rules/0/from/0/source/namespaces/1')],
    says: /it lacks that namespaces istio-ingress may port 9411/,
  },
  {
    mistake: 'a token without a tenant',
    gate: 'G5',
    breaks: [unset(TENANT_TOKEN, '/spec/rules/0/when')],
    says: /it lacks that requestPrincipals .* where request\.auth\.claims\[tenant\]/,
  },
  {
    mistake: 'a tenant without a token',
    gate: 'G5',
    breaks: [unset(TENANT_TOKEN, '/spec/rules/0/from')],
    says: /require-tenant-token: spec\.rules\[0\]\.from is missing/,
  },
]
