/**
 * Who may call what in the mesh: what every AuthorizationPolicy says, once more and as data. The gate compares the two
 * both ways, and the network policies with it; whatever stands in no row is refused.
 */

/** What a caller may do with a callee; `{*}` stands for one segment of a path, `*` at its end for the rest. */
export type Operation =
  | { readonly methods: readonly string[]; readonly paths: readonly string[] }
  /** Through the egress gateway. */
  | { readonly methods: readonly string[]; readonly hosts: readonly string[] }
  /** Of a protocol that the proxies do not read. */
  | { readonly ports: readonly number[] }

export interface AuthzRow {
  /** Name of the AuthorizationPolicy; one with several rules has a row for each. */
  readonly policy: string
  readonly namespace: string
  readonly callers:
    | { readonly principals: readonly string[] }
    | { readonly namespaces: readonly string[] }
    /** Whoever has a token of this issuer with this claim; a client of the gateway has no identity of the mesh. */
    | { readonly issuer: string; readonly claim: string }
    | 'anyone'
  /** Labels of its pods; none: every pod of the namespace. */
  readonly callee?: Readonly<Record<string, string>>
  /** None: whatever the routes lead to. */
  readonly may?: readonly Operation[]
}

export const ORDER_MANAGEMENT = 'order-management'
const INGRESS = 'istio-ingress'
const EGRESS = 'istio-egress'

function account(name: string, namespace = ORDER_MANAGEMENT): string {
  return `cluster.local/ns/${namespace}/sa/${name}`
}

const GATEWAY = { principals: [account('istio-ingressgateway', INGRESS)] }
const ORDER = { principals: [account('order-service')] }
const PAYMENT = { principals: [account('payment-service')] }
const INVENTORY = { principals: [account('inventory-service')] }

export const AUTHZ_MATRIX: readonly AuthzRow[] = [
  {
    policy: 'allow-ingress-to-order',
    namespace: ORDER_MANAGEMENT,
    callers: GATEWAY,
    callee: { app: 'order-service' },
    may: [
      { methods: ['POST'], paths: ['/api/v1/orders', '/api/v1/orders/{*}/cancel'] },
      { methods: ['GET'], paths: ['/api/v1/orders', '/api/v1/orders/{*}'] },
    ],
  },
  {
    policy: 'allow-ingress-to-inventory',
    namespace: ORDER_MANAGEMENT,
    callers: GATEWAY,
    callee: { app: 'inventory-service' },
    may: [{ methods: ['GET'], paths: ['/api/v1/stock'] }],
  },
  {
    policy: 'allow-order-to-payment',
    namespace: ORDER_MANAGEMENT,
    callers: ORDER,
    callee: { app: 'payment-service' },
    may: [{ methods: ['POST', 'GET'], paths: ['/api/v1/payments', '/api/v1/payments/*'] }],
  },
  {
    policy: 'allow-order-to-inventory',
    namespace: ORDER_MANAGEMENT,
    callers: ORDER,
    callee: { app: 'inventory-service' },
    may: [
      {
        methods: ['POST'],
        paths: [
          '/api/v1/reservations',
          '/api/v1/reservations/{*}/release',
          '/api/v1/reservations/{*}/settle',
          '/api/v1/reservations/settle',
        ],
      },
      { methods: ['GET'], paths: ['/api/v1/reservations/{*}', '/api/v1/stock'] },
    ],
  },
  {
    policy: 'allow-inventory-to-order',
    namespace: ORDER_MANAGEMENT,
    callers: INVENTORY,
    callee: { app: 'order-service' },
    may: [{ methods: ['POST'], paths: ['/internal/v1/orders/{*}/reservation-verdict'] }],
  },
  {
    policy: 'allow-services-to-postgres',
    namespace: ORDER_MANAGEMENT,
    callers: {
      principals: [
        account('order-service'),
        account('payment-service'),
        account('inventory-service'),
        account('order-service-migrate'),
        account('payment-service-migrate'),
        account('inventory-service-migrate'),
      ],
    },
    callee: { app: 'postgres' },
    may: [{ ports: [5432] }],
  },
  {
    policy: 'allow-health-checks',
    namespace: ORDER_MANAGEMENT,
    callers: { namespaces: [ORDER_MANAGEMENT] },
    may: [{ methods: ['GET'], paths: ['/health', '/ready', '/metrics'] }],
  },
  {
    policy: 'allow-mesh-to-jaeger',
    namespace: 'jaeger',
    callers: { namespaces: [ORDER_MANAGEMENT, INGRESS, EGRESS] },
    callee: { app: 'jaeger' },
    may: [{ ports: [9411, 4318] }],
  },
  {
    policy: 'allow-mesh-to-jaeger',
    namespace: 'jaeger',
    callers: 'anyone',
    callee: { app: 'jaeger' },
    may: [{ ports: [16_686] }],
  },
  {
    policy: 'require-tenant-token',
    namespace: INGRESS,
    callers: { issuer: 'https://issuer.example.com', claim: 'tenant' },
    callee: { istio: 'ingressgateway' },
  },
  {
    policy: 'allow-payment-to-psp',
    namespace: EGRESS,
    callers: PAYMENT,
    callee: { istio: 'egressgateway' },
    may: [{ methods: ['GET', 'POST'], hosts: ['psp.example.com'] }],
  },
]
