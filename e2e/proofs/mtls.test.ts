/** Encryption and identity: who may speak plain text to whom, and whose certificate a caller shows. */
import { setTimeout as pause } from 'node:timers/promises'
import { until } from './cluster/api.ts'
import { certificateOf } from './cluster/certificates.ts'
import type { Mesh } from './cluster/mesh.ts'
import {
  clusterOf,
  EXTERNAL,
  IN_HANDSHAKE,
  identityOf,
  JAEGER,
  NO_CHAIN,
  OM,
  originOf,
  statOf,
} from './cluster/names.ts'
import { chargeOf, linesOf, PAYMENT, paymentCaller } from './cluster/payment.ts'
import type { Answer } from './cluster/probe.ts'
import { renewConnections } from './cluster/renew.ts'
import { probeServer } from './cluster/server.ts'
import { atLeast, proof, type Saw } from './proof.ts'

const STRICT = 'istio-config/peerauthentication-strict-mtls.yaml'

/** From outside of the mesh, in plain text. */
async function plain(mesh: Mesh, ip: string, port: number, path: string): Promise<Answer> {
  const outside = await mesh.probe({ namespace: EXTERNAL, injected: false })
  return outside.call({ url: `http://${ip}:${port}${path}`, fresh: true, timeoutMs: 5000 })
}

const CUT = ['ECONNRESET', 'EPIPE']

function wasCut({ status, error }: Answer): string {
  return status === 0 && CUT.includes(error as string) ? 'cut' : `${status} ${error ?? ''}`.trim()
}

proof(
  'mtls.strict-mesh',
  {
    promise: 'No pod with a sidecar takes plain text, in any namespace.',
    manifests: [STRICT],
    fields: ['PeerAuthentication istio-system/default-strict-mtls spec.mtls.mode'],
  },
  async (mesh, saw) => {
    const server = await probeServer(mesh)
    const envoy = await server.envoy()
    const path = `/${crypto.randomUUID()}`
    const { value: answer, added } = await envoy.during(() => plain(mesh, server.ip, 8080, path))
    saw('ledger', 'the caller outside of the mesh', wasCut(answer), 'cut')
    saw(
      'ledger',
      'the called pod: lines',
      (await mesh.lines('probe', (line) => line.path === path)).length,
      0,
    )
    saw('envoy', `the called pod: ${NO_CHAIN}`, added.of(NO_CHAIN), 1)
  },
)

proof(
  'mtls.strict-namespace',
  {
    promise: 'order-management takes no plain text even where the mesh-wide rule is relaxed.',
    manifests: [STRICT],
    fields: ['PeerAuthentication order-management/order-management-mtls spec.mtls.mode'],
  },
  async (mesh, saw) => {
    const server = await probeServer(mesh)
    const { ip, envoy } = await mesh.onePod('payment-service')
    await mesh.istiod.pushed(() =>
      mesh.changes.patch(
        '/apis/security.istio.io/v1/namespaces/istio-system/peerauthentications/default-strict-mtls',
        [{ op: 'add', path: '/spec/mtls', value: { mode: 'PERMISSIVE' } }],
      ),
    )
    const beyond = await plain(mesh, server.ip, 8080, '/')
    saw('ledger', 'plain text to oms-probe: past mTLS, refused by deny-all', beyond.status, 403)
    const { value: answer, added } = await envoy.during(() => plain(mesh, ip, 8080, '/health'))
    saw('ledger', 'plain text to payment-service', wasCut(answer), 'cut')
    saw('envoy', `payment-service: ${NO_CHAIN}`, added.of(NO_CHAIN), 1)
  },
)

proof(
  'mtls.identity',
  {
    promise: 'A callee sees the caller’s ServiceAccount by its certificate.',
    manifests: ['apps/order-service.yaml', STRICT],
    fields: ['Deployment order-service spec.template.spec.serviceAccountName'],
  },
  async (mesh, saw) => {
    const caller = await paymentCaller(mesh)
    await renewConnections(caller, [{ url: `${originOf('payment-service')}/renewed` }])
    const charge = chargeOf()
    const answer = await caller.call(charge)
    const lines = await linesOf(mesh, charge, 1)
    saw(
      'ledger',
      'payment-service: peer',
      lines.map(({ peer }) => peer),
      [identityOf('order-service')],
    )
    saw('ledger', 'the caller’s answer', answer.status, 201)
    const stats = await (await caller.envoy()).stats()
    const [connections, handshakes] = ['upstream_cx_total', 'ssl.handshake'].map((stat) =>
      stats.of(statOf(PAYMENT, stat)),
    )
    saw(
      'envoy',
      'caller: connections to payment-service, each with a handshake',
      handshakes,
      connections,
    )
  },
)

interface Encrypted {
  readonly service: string
  readonly app: string
  readonly namespace: string
  readonly port: number
  /** What a client without TLS says first. */
  readonly hello: string
}

/** All connections of payment-service's sidecars to it were TLS; plain text from outside gets no byte. */
async function seeEncrypted(
  mesh: Mesh,
  saw: Saw,
  { service, app, namespace, port, hello }: Encrypted,
): Promise<void> {
  const { ip, envoy: server } = await mesh.onePod(app, namespace)
  const cluster = clusterOf(service, port, namespace)
  let connections = 0
  let handshakes = 0
  for (const client of await mesh.envoys('payment-service')) {
    // Spans are sent a second after their request.
    const stats = await until(`${client.pod} connected to ${service}`, 15_000, async () => {
      const now = await client.stats()
      return now.of(statOf(cluster, 'upstream_cx_total')) > 0 ? now : undefined
    })
    connections += stats.of(statOf(cluster, 'upstream_cx_total'))
    handshakes += stats.of(statOf(cluster, 'ssl.handshake'))
  }
  saw('envoy', 'payment-service: handshakes, one for each connection', handshakes, connections)
  saw('envoy', `${service}: ${IN_HANDSHAKE}`, (await server.stats()).of(IN_HANDSHAKE), atLeast(1))
  const outside = await mesh.probe({ namespace: EXTERNAL, injected: false })
  const { value: dialled, added } = await server.during(() =>
    outside.dial({ host: ip, port, hello }),
  )
  saw('ledger', `plain text to ${service}: bytes that came back`, dialled.bytes, 0)
  saw('envoy', `${service}: ${NO_CHAIN}`, added.of(NO_CHAIN), 1)
}

proof(
  'mtls.postgres',
  {
    promise: 'Statements to PostgreSQL are encrypted, and it takes no plain text.',
    manifests: ['apps/postgres.yaml', STRICT],
    fields: ['StatefulSet postgres (injected)', 'PeerAuthentication order-management-mtls'],
  },
  (mesh, saw) =>
    seeEncrypted(mesh, saw, {
      service: 'postgres',
      app: 'postgres',
      namespace: OM,
      port: 5432,
      // A request for TLS: PostgreSQL itself answers it with one letter.
      hello: '\x00\x00\x00\x08\x04\xd2\x16\x2f',
    }),
)

proof(
  'mtls.jaeger',
  {
    promise: 'Spans to Jaeger are encrypted, and its collector takes no plain text.',
    manifests: ['observability/jaeger.yaml', STRICT],
    fields: ['Deployment jaeger (injected)', 'PeerAuthentication jaeger-query-plaintext'],
  },
  (mesh, saw) =>
    seeEncrypted(mesh, saw, {
      service: 'jaeger-collector',
      app: 'jaeger',
      namespace: JAEGER,
      port: 9411,
      hello: 'GET / HTTP/1.1\r\nhost: jaeger\r\nconnection: close\r\n\r\n',
    }),
)

proof(
  'mtls.port-exception',
  {
    promise: 'Traces are read from outside of the mesh at 16686; Jaeger’s other ports stay strict.',
    manifests: [STRICT, 'istio-config/authorizationpolicy-default-deny.yaml'],
    fields: [
      'PeerAuthentication jaeger/jaeger-query-plaintext spec.portLevelMtls',
      'AuthorizationPolicy jaeger/allow-mesh-to-jaeger spec.rules[1]',
    ],
  },
  async (mesh, saw) => {
    const { ip, envoy } = await mesh.onePod('jaeger', JAEGER)
    const { value: answers, added } = await envoy.during(async () => [
      await plain(mesh, ip, 16_686, '/api/services'),
      await plain(mesh, ip, 4318, '/v1/traces'),
    ])
    saw('ledger', 'plain text to 16686', answers[0]?.status, 200)
    saw('ledger', 'plain text to 4318', wasCut(answers[1] as Answer), 'cut')
    saw('envoy', `Jaeger: ${NO_CHAIN}`, added.of(NO_CHAIN), 1)
  },
)

/** Seconds that calls go on while certificates are renewed about every twelve. */
const ROTATED_FOR_S = 30

proof(
  'cert.rotation',
  {
    promise: 'A certificate lives 24 h and is renewed before its end, while calls go on.',
    manifests: ['istio-control-plane/istio.yaml'],
    fields: ['Istio default spec.values (no other certificate lifetime)'],
    timeoutMs: 120_000,
  },
  async (mesh, saw) => {
    // A proxy asks for the lifetime that it was told when its pod was made.
    const fresh = await mesh.ownProbe({ namespace: OM, account: 'order-service' })
    const { lifetimeS } = await certificateOf(await fresh.envoy())
    // istiod dates it back two minutes, for clocks that are behind.
    saw('envoy', 'a new pod: lifetime of its certificate, seconds', lifetimeS, 24 * 3600 + 120)
    const short = await mesh.ownProbe({
      namespace: OM,
      account: 'order-service',
      annotations: {
        'proxy.istio.io/config': JSON.stringify({
          proxyMetadata: { SECRET_TTL: '2m', SECRET_GRACE_PERIOD_RATIO: '0.9' },
        }),
      },
    })
    const envoy = await short.envoy()
    const serials = new Set<string>()
    const calling = short.calls(
      [{ url: `${originOf('payment-service')}/health`, repeat: ROTATED_FOR_S * 10, fresh: true }],
      { everyMs: 100 },
    )
    let under = true
    const [answers] = await Promise.all([
      calling.finally(() => {
        under = false
      }),
      (async () => {
        while (under) {
          serials.add((await certificateOf(envoy)).serial)
          await pause(500)
        }
      })(),
    ])
    const failed = answers.filter(({ status }) => status !== 200)
    saw('ledger', `calls without a 200, of ${answers.length}`, failed.length, 0)
    saw('envoy', `the caller: certificates in ${ROTATED_FOR_S} s`, serials.size, atLeast(3))
  },
)
