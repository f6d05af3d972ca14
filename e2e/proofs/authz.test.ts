/** Who may call whom: nobody, but as e2e/authz-matrix.ts says. */
import { randomUUID } from 'node:crypto'
import { eachAtMost } from '@oms/e2e/testing'
import {
  allows,
  EDGES,
  type Edge,
  type HostEdge,
  IDENTITIES,
  type Identity,
  type RouteEdge,
  type TcpEdge,
  tellEdge,
} from './cluster/edges.ts'
import type { Envoy } from './cluster/envoy.ts'
import { untilLines } from './cluster/ledger.ts'
import { type Mesh, newOrderId } from './cluster/mesh.ts'
import {
  DENIED,
  EGRESS,
  EXTERNAL,
  identityOf,
  OM,
  originOf,
  PROBES,
  type ServiceName,
} from './cluster/names.ts'
import type { Answer, Call, Probe } from './cluster/probe.ts'
import { renewConnections, renewSerially } from './cluster/renew.ts'
import { probeServer, SERVER_URL } from './cluster/server.ts'
import { type Body, proof, type Saw, type Told } from './proof.ts'

const FILE = 'istio-config/authorizationpolicy-default-deny.yaml'
/** The one port among them that is named as HTTP. */
const READERS = 'http://jaeger-query.jaeger.svc.cluster.local:16686'
const TCP_DENIED = /^tcp\..*rbac\.denied$/

proof(
  'authz.default-deny',
  {
    promise: 'Where no policy speaks nobody is let in, in any namespace of the mesh.',
    manifests: [FILE],
    fields: ['AuthorizationPolicy istio-system/deny-all spec'],
  },
  async (mesh, saw) => {
    const server = await probeServer(mesh)
    const caller = await mesh.probe({ namespace: PROBES, account: 'order-service' })
    const envoy = await server.envoy()
    await renewConnections(caller, [{ url: `${SERVER_URL}/renewed` }])
    const path = `/${randomUUID()}`
    const { value: answer, added } = await envoy.during(() =>
      caller.call({ url: `${SERVER_URL}${path}` }),
    )
    const lines = await mesh.lines('probe', (line) => line.path === path)
    saw('ledger', 'the caller’s answer', [answer.status, answer.text], [403, 'RBAC: access denied'])
    saw('ledger', 'the called pod: lines', lines.length, 0)
    saw('envoy', `the called pod: ${DENIED}`, added.of(DENIED), 1)
  },
)

/** How many pods start at once: each takes seconds of a processor. */
const AT_ONCE = 4

interface Placed {
  readonly identity: Identity
  readonly probe: Probe
}

async function placeAll(mesh: Mesh): Promise<readonly Placed[]> {
  const placed: Placed[] = []
  await eachAtMost(AT_ONCE, IDENTITIES, async (identity) => {
    const injected = identity.namespace !== EXTERNAL
    placed.push({ identity, probe: await mesh.probe({ ...identity, injected }) })
  })
  return placed
}

function name({ namespace, account }: Identity): string {
  return `${namespace}/${account}`
}

const isRoute = (edge: Edge): edge is RouteEdge => 'path' in edge
const isHost = (edge: Edge): edge is HostEdge => 'host' in edge
const isTcp = (edge: Edge): edge is TcpEdge => 'port' in edge
const ROUTES = EDGES.filter(isRoute)
const HOSTS = EDGES.filter(isHost)
const TCPS = EDGES.filter(isTcp)

/** What `work` adds to a counter, over all these. */
async function addedTo(
  envoys: readonly Envoy[],
  counter: RegExp,
  work: () => Promise<void>,
): Promise<number> {
  const read = async (): Promise<number> => {
    const stats = await Promise.all(envoys.map((envoy) => envoy.stats()))
    return stats.reduce((all, each) => all + each.sum(counter), 0)
  }
  const before = await read()
  await work()
  return (await read()) - before
}

/** Those whom a sidecar brings to the callee's, which refuses them. */
function refusedOf(edges: readonly Edge[]): number {
  return IDENTITIES.filter(({ namespace }) => namespace !== EXTERNAL).reduce(
    (all, identity) => all + edges.filter((edge) => !allows(identity, edge)).length,
    0,
  )
}

const POLICIES =
  'AuthorizationPolicy order-management/allow-* spec.rules (principals, methods, paths)'

function matrixOf(service: ServiceName): readonly [Told, Body] {
  const told = {
    promise: `Each identity reaches the routes of ${service} that the matrix gives it, and no other.`,
    manifests: [FILE, 'apps'],
    fields: [POLICIES, 'Istio default spec.values.meshConfig.pathNormalization'],
    timeoutMs: 240_000,
  }
  return [told, (mesh, saw) => seeMatrix(mesh, saw, service)]
}

proof('authz.matrix.order', ...matrixOf('order-service'))
proof('authz.matrix.payment', ...matrixOf('payment-service'))
proof('authz.matrix.inventory', ...matrixOf('inventory-service'))

async function seeMatrix(mesh: Mesh, saw: Saw, service: ServiceName): Promise<void> {
  const routes = ROUTES.filter(({ callee }) => callee['app'] === service)
  const placed = await placeAll(mesh)
  const connections = randomUUID()
  const reads = [{ url: `${originOf(service)}/renewed` }]
  await eachAtMost(AT_ONCE, placed, ({ probe }) => renewSerially(probe, reads, connections))
  const servers = await mesh.envoys(service)
  const asked = new Map<string, { readonly who: Identity; readonly edge: RouteEdge }>()
  let answered = 0
  const refused = await addedTo(
    servers,
    new RegExp(`^${DENIED.replaceAll('.', '\\.')}$`),
    async () => {
      await eachAtMost(AT_ONCE, placed, async ({ identity, probe }) => {
        const calls = routes.map((edge): Call => {
          const orderId = newOrderId()
          asked.set(orderId, { who: identity, edge })
          return { url: edge.url, method: edge.method, headers: { 'x-order-id': orderId } }
        })
        const answers = await probe.calls(calls, { connections })
        answered += answers.filter(isIn).length
      })
    },
  )
  const lines = await untilLines(answered, () =>
    mesh.lines(service, ({ order_id: id }) => asked.has(id ?? '')),
  )
  const peers = new Map(lines.map(({ order_id: id, peer }) => [id as string, peer]))
  for (const { identity } of placed) {
    const wrong = [...asked].flatMap(([id, { who, edge }]) => {
      if (who !== identity) return []
      const expected = allows(identity, edge)
        ? identityOf(identity.account, identity.namespace)
        : undefined
      const peer = peers.get(id)
      return peer === expected ? [] : [`${tellEdge(edge)}: ${peer ?? 'no line'}`]
    })
    saw(
      'ledger',
      `${name(identity)}: routes of ${routes.length} that are not as the matrix says`,
      wrong,
      [],
    )
  }
  saw('envoy', `${service}: ${DENIED}`, refused, refusedOf(routes))
}

proof(
  'authz.egress',
  {
    promise:
      'Of all identities payment-service alone gets out by the egress gateway, by GET and POST.',
    manifests: ['istio-config/egress-psp.yaml'],
    fields: ['AuthorizationPolicy istio-egress/allow-payment-to-psp spec'],
    timeoutMs: 240_000,
  },
  async (mesh, saw) => {
    // Who knows the way: the other namespaces have no route to it.
    const placed = (await placeAll(mesh)).filter(({ identity }) => identity.namespace === OM)
    const [gateway] = await mesh.envoysOf('istio=egressgateway', EGRESS)
    if (gateway === undefined) throw new Error('The egress gateway has no pod.')
    const reads = HOSTS.filter(({ method }) => method === 'GET')
    await eachAtMost(AT_ONCE, placed, ({ probe }) =>
      renewConnections(
        probe,
        reads.map(({ url, host }) => ({ url, headers: { host } })),
      ),
    )
    const wrong: string[] = []
    const refused = await addedTo(
      [gateway],
      /^http\.outbound_0\.0\.0\.0_8443;\.rbac\.denied$/,
      async () => {
        for (const { identity, probe } of placed)
          for (const edge of HOSTS) {
            const answer = await probe.call({
              url: edge.url,
              method: edge.method,
              headers: { host: edge.host },
            })
            if (isIn(answer) !== allows(identity, edge))
              wrong.push(`${name(identity)} ${edge.method}: ${answer.status} ${answer.text}`)
          }
      },
    )
    const expected = placed.flatMap(({ identity }) =>
      HOSTS.filter((edge) => !allows(identity, edge)),
    ).length
    saw('ledger', 'requests that are not as the matrix says', wrong, [])
    saw('envoy', 'egress gateway: rbac.denied', refused, expected)
  },
)

/** Answered by the other side: not by a policy, nor by the caller's own proxy. */
function isIn({ status, text }: Answer): boolean {
  return status !== 0 && status !== 502 && !text.startsWith('RBAC')
}

proof(
  'authz.l4',
  {
    promise:
      'PostgreSQL and Jaeger are open to whom the matrix names, by port, and closed to all others.',
    manifests: [FILE],
    fields: [
      'AuthorizationPolicy order-management/allow-services-to-postgres spec',
      'AuthorizationPolicy jaeger/allow-mesh-to-jaeger spec',
    ],
    timeoutMs: 240_000,
  },
  async (mesh, saw) => {
    const placed = await placeAll(mesh)
    const wrong = new Map<Identity, string[]>()
    await eachAtMost(AT_ONCE, placed, ({ probe }) =>
      renewConnections(probe, [{ url: `${READERS}/renewed` }]),
    )
    const refused = await addedTo(await mesh.envoys('postgres'), TCP_DENIED, async () => {
      await eachAtMost(AT_ONCE, placed, async ({ identity, probe }) => {
        const ports: string[] = []
        wrong.set(identity, ports)
        for (const edge of TCPS) {
          const dial = { host: edge.address, port: edge.port, hello: helloTo(edge) }
          const { bytes, text } = await probe.dial(dial)
          // To a port that is named as HTTP the refusal is an answer.
          const isIn = bytes > 0 && !text.includes('RBAC')
          if (isIn !== allows(identity, edge)) ports.push(`${tellEdge(edge)}: ${bytes} bytes`)
        }
      })
    })
    for (const [identity, ports] of wrong)
      saw('ledger', `${name(identity)}: ports that are not as the matrix says`, ports, [])
    // Jaeger's own counts the spans of foreign proxies, too.
    const ours = TCPS.filter(({ port }) => port === 5432)
    saw('envoy', 'PostgreSQL: tcp.rbac.denied', refused, refusedOf(ours))
  },
)

/** PostgreSQL answers a request for TLS with one letter, the others are HTTP. */
function helloTo({ address, port }: TcpEdge): string {
  return port === 5432
    ? '\x00\x00\x00\x08\x04\xd2\x16\x2f'
    : `GET / HTTP/1.1\r\nhost: ${address}:${port}\r\nconnection: close\r\n\r\n`
}
