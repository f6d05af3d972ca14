/** Every edge of the mesh, tried from a pod of each identity, and what e2e/authz-matrix.ts says of it. */
import { randomUUID } from 'node:crypto'
import { AUTHZ_MATRIX, type AuthzRow, ORDER_MANAGEMENT } from '@oms/e2e/authz-matrix'
import type { Kubectl } from '../src/kubectl.ts'
import { imageName, readTags } from '../src/product.ts'

/** Injected, and without a policy of its own. */
const PROBE = 'oms-probe'
/** Not injected: no identity. */
const EXTERNAL = 'oms-external'

export interface Identity {
  readonly namespace: string
  readonly account: string
}

export const IDENTITIES: readonly Identity[] = [
  ...['order-service', 'payment-service', 'inventory-service', 'postgres', 'default'].map(ours),
  ...['order', 'payment', 'inventory'].map((service) => ours(`${service}-service-migrate`)),
  { namespace: 'istio-ingress', account: 'istio-ingressgateway' },
  { namespace: 'istio-egress', account: 'istio-egressgateway' },
  { namespace: PROBE, account: 'default' },
  // Its name is allowed nearly everywhere, in another namespace.
  { namespace: PROBE, account: 'order-service' },
  { namespace: EXTERNAL, account: 'default' },
]

function ours(account: string): Identity {
  return { namespace: ORDER_MANAGEMENT, account }
}

type Edge = { readonly namespace: string; readonly callee: Readonly<Record<string, string>> } & (
  | { readonly url: string; readonly method: string; readonly path: string }
  | { readonly url: string; readonly method: string; readonly host: string }
  | { readonly address: string; readonly port: number }
)

const HTTP_SERVICES = ['order-service', 'payment-service', 'inventory-service']
/** What no row names: without them a matrix that allows all of a service would look the same. */
const UNNAMED = [
  { method: 'GET', path: '/openapi.json' },
  { method: 'DELETE', path: '/api/v1/orders' },
  { method: 'GET', path: '/internal/v1/orders/x/reservation-verdict' },
]

export const EDGES: readonly Edge[] = [
  ...HTTP_SERVICES.flatMap((app) => {
    const origin = `http://${app}.${ORDER_MANAGEMENT}.svc.cluster.local:8080`
    return [...namedRoutes(), ...UNNAMED].map(({ method, path }) => ({
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
        return 'path' in edge && operation.paths.some((path) => matches(path, edge.path))
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

/**
 * Runs in the pod. Let in is who gets an answer of the application: not RBAC's, not the caller's own proxy's for a host
 * it does not know, not a closed connection.
 */
const TRY_ALL = `
const { request } = await import('node:http')
const { connect } = await import('node:net')
const asked = ({ url, method, host }) => new Promise((resolve) => {
  const headers = host === undefined ? {} : { host }
  const asking = request(url, { method, headers, timeout: 5000, agent: false }, (answer) => {
    let text = ''
    answer.on('data', (chunk) => { text += chunk })
    answer.on('end', () => resolve(text.startsWith('RBAC') ? 'refused' : answer.statusCode === 502 ? 'unknown' : 'in'))
  })
  asking.on('timeout', () => asking.destroy(new Error('timeout')))
  asking.on('error', () => resolve('closed'))
  asking.end()
})
const dialled = ({ address, port }) => new Promise((resolve) => {
  const socket = connect(port, address)
  socket.setTimeout(5000, () => socket.destroy())
  // PostgreSQL answers a request for TLS with one letter, the others are HTTP.
  const hello = port === 5432 ? Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]) : \`GET / HTTP/1.1\\r\\nhost: \${address}:\${port}\\r\\nconnection: close\\r\\n\\r\\n\`
  socket.on('connect', () => socket.write(hello))
  socket.on('data', () => { resolve('in'); socket.destroy() })
  socket.on('error', () => undefined)
  socket.on('close', () => resolve('closed'))
})
const found = []
for (const edge of JSON.parse(process.env.EDGES)) found.push(await ('url' in edge ? asked(edge) : dialled(edge)))
console.log(JSON.stringify(found))
`

type Verdict = 'in' | 'refused' | 'unknown' | 'closed'

/** Makes the two namespaces of the probes. */
export async function preparePlaces(kubectl: Kubectl): Promise<void> {
  const namespace = (name: string, labels: object) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels },
  })
  await kubectl.apply([
    namespace(PROBE, { 'istio-injection': 'enabled' }),
    namespace(EXTERNAL, { 'istio-injection': 'disabled' }),
    {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 'order-service', namespace: PROBE },
    },
  ])
}

/** One verdict an edge, from a pod of that identity. */
export async function tryEdges(kubectl: Kubectl, who: Identity): Promise<readonly Verdict[]> {
  const name = `edges-of-${who.account}`
  const image = imageName('order-service', readTags()['order-service'] as string)
  await kubectl.apply([
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name,
        namespace: who.namespace,
        labels: {
          app: 'e2e-probe',
          // The gateways' namespaces inject on request.
          ...(who.namespace === EXTERNAL ? {} : { 'sidecar.istio.io/inject': 'true' }),
        },
      },
      spec: {
        serviceAccountName: who.account,
        automountServiceAccountToken: false,
        restartPolicy: 'Never',
        terminationGracePeriodSeconds: 1,
        securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
        containers: [
          {
            name: 'probe',
            image,
            args: ['--input-type=module', '--eval', TRY_ALL],
            env: [{ name: 'EDGES', value: JSON.stringify(EDGES) }],
            securityContext: {
              allowPrivilegeEscalation: false,
              readOnlyRootFilesystem: true,
              capabilities: { drop: ['ALL'] },
            },
          },
        ],
      },
    },
  ])
  const place = ['-n', who.namespace]
  await kubectl(
    ...['wait', ...place, `pod/${name}`, '--for=jsonpath={.status.phase}=Succeeded'],
    '--timeout=120s',
  )
  const verdicts = JSON.parse(await kubectl('logs', ...place, name, '-c', 'probe'))
  await kubectl('delete', 'pod', ...place, name)
  return verdicts
}
