/** Every edge of the mesh, and what e2e/authz-matrix.ts says of who may use it. */
import { randomUUID } from 'node:crypto'
import { AUTHZ_MATRIX, type AuthzRow, ORDER_MANAGEMENT } from '@oms/e2e/authz-matrix'
import { EXTERNAL, PROBES } from './names.ts'

export interface Identity {
  readonly namespace: string
  readonly account: string
}

export const IDENTITIES: readonly Identity[] = [
  ...['order-service', 'payment-service', 'inventory-service', 'postgres', 'default'].map(ours),
  ...['order', 'payment', 'inventory'].map((service) => ours(`${service}-service-migrate`)),
  { namespace: 'istio-ingress', account: 'istio-ingressgateway' },
  { namespace: 'istio-egress', account: 'istio-egressgateway' },
  { namespace: PROBES, account: 'default' },
  // Its name is allowed nearly everywhere, in another namespace.
  { namespace: PROBES, account: 'order-service' },
  { namespace: EXTERNAL, account: 'default' },
]

function ours(account: string): Identity {
  return { namespace: ORDER_MANAGEMENT, account }
}

interface To {
  readonly namespace: string
  readonly callee: Readonly<Record<string, string>>
}

/** A request to a service. */
export interface RouteEdge extends To {
  readonly url: string
  readonly method: string
  readonly path: string
}

/** A request out of the mesh, by the egress gateway. */
export interface HostEdge extends To {
  readonly url: string
  readonly method: string
  readonly host: string
}

export interface TcpEdge extends To {
  readonly address: string
  readonly port: number
}

export type Edge = RouteEdge | HostEdge | TcpEdge

const HTTP_SERVICES = ['order-service', 'payment-service', 'inventory-service']
/** What no row names: without them a matrix that allows all of a service would look the same. */
const UNNAMED = [
  { method: 'GET', path: '/openapi.json' },
  { method: 'DELETE', path: '/api/v1/orders' },
  { method: 'GET', path: '/internal/v1/orders/x/reservation-verdict' },
]
/** The same path to an application; to a policy only where slashes are merged first. */
const MERGED = { method: 'POST', path: '//api/v1//payments' }

export const EDGES: readonly Edge[] = [
  ...HTTP_SERVICES.flatMap((app) => {
    const origin = `http://${app}.${ORDER_MANAGEMENT}.svc.cluster.local:8080`
    return [...namedRoutes(), ...UNNAMED, MERGED].map(({ method, path }) => ({
      namespace: ORDER_MANAGEMENT,
      callee: { app },
      url: `${origin}${path}`,
      method,
      path,
    }))
  }),
  tcp(ORDER_MANAGEMENT, 'postgres', `postgres.${ORDER_MANAGEMENT}`, 5432),
  tcp('jaeger', 'jaeger', 'jaeger-collector.jaeger', 9411),
  tcp('jaeger', 'jaeger', 'jaeger-collector.jaeger', 4318),
  tcp('jaeger', 'jaeger', 'jaeger-query.jaeger', 16_686),
  ...['GET', 'POST', 'DELETE'].map((method) => ({
    namespace: 'istio-egress',
    callee: { istio: 'egressgateway' },
    // The proxy goes by the host header; nobody has this address (RFC 5737).
    url: 'http://192.0.2.1/v1/nothing',
    method,
    host: 'psp.example.com',
  })),
]

function tcp(namespace: string, app: string, service: string, port: number): Edge {
  return { namespace, callee: { app }, address: `${service}.svc.cluster.local`, port }
}

/** Every method and path of the matrix, with something in the place of its `*`. */
function namedRoutes(): readonly { readonly method: string; readonly path: string }[] {
  const routes = AUTHZ_MATRIX.flatMap(({ may = [] }) => may).flatMap((operation) =>
    'paths' in operation
      ? operation.paths.flatMap((path) => operation.methods.map((method) => ({ method, path })))
      : [],
  )
  const known = new Map(routes.map((route) => [`${route.method} ${route.path}`, route]))
  return [...known.values()].map(({ method, path }) => ({
    method,
    path: path.replaceAll('{*}', randomUUID()).replace(/\*$/, `${randomUUID()}/void`),
  }))
}

/** What the matrix says. */
export function allows(identity: Identity, edge: Edge): boolean {
  // The gateway's own identity is the way out; no policy stands before it.
  if ('host' in edge && identity.namespace === edge.namespace) return true
  return AUTHZ_MATRIX.some(
    (row) =>
      row.namespace === edge.namespace &&
      Object.entries(row.callee ?? {}).every(([label, value]) => edge.callee[label] === value) &&
      isCaller(row.callers, identity) &&
      (row.may ?? []).some((operation) => {
        if ('ports' in operation) return 'port' in edge && operation.ports.includes(edge.port)
        if (!('method' in edge) || !operation.methods.includes(edge.method)) return false
        if ('hosts' in operation) return 'host' in edge && operation.hosts.includes(edge.host)
        return (
          'path' in edge &&
          operation.paths.some((path) => matches(path, edge.path.replaceAll(/\/+/g, '/')))
        )
      }),
  )
}

function isCaller(callers: AuthzRow['callers'], { namespace, account }: Identity): boolean {
  if (callers === 'anyone') return true
  if (namespace === EXTERNAL || 'issuer' in callers) return false
  if ('namespaces' in callers) return callers.namespaces.includes(namespace)
  return callers.principals.includes(`cluster.local/ns/${namespace}/sa/${account}`)
}

/** As Istio matches: `{*}` is one segment, a `*` at the end whatever follows. */
function matches(pattern: string, path: string): boolean {
  const source = pattern.replaceAll('.', '\\.').replaceAll('{*}', '[^/]+').replace(/\*$/, '.*')
  return new RegExp(`^${source}$`).test(path)
}

export function tellEdge(edge: Edge): string {
  return 'url' in edge ? `${edge.method} ${edge.url}` : `${edge.address}:${edge.port}`
}
