/** The way out: one host, one caller, one gateway. */
import type { KubernetesObject } from './cluster/api.ts'
import type { Envoy } from './cluster/envoy.ts'
import { probesLedger, readLedger } from './cluster/ledger.ts'
import { accessOf } from './cluster/measure.ts'
import type { Mesh } from './cluster/mesh.ts'
import { EGRESS, EXTERNAL, GATEWAY_HTTP, OM, PROBES, PSP, PSP_HOST } from './cluster/names.ts'
import { logLines, podsOf } from './cluster/pods.ts'
import type { Call } from './cluster/probe.ts'
import { renewSerially } from './cluster/renew.ts'
import { warmingIn } from './cluster/warming.ts'
import { proof } from './proof.ts'

const FILE = 'istio-config/egress-psp.yaml'
const TO_PSP = `cluster.outbound|443||${PSP_HOST};.`
const READ: Call = { url: `http://${PSP_HOST}/v1/charges/ch_nobody_has`, timeoutMs: 3000 }
/** Of a route that the processor does not have. */
const OTHER_READ: Call = { url: `http://${PSP_HOST}/v1/nothing` }

/** Of the processor's own log. */
interface Asked {
  readonly time: number
  readonly msg: string
  readonly method: string
  readonly route: string
  readonly status: number
  readonly remote: string
  readonly sni: string | null
  readonly forwarded_client_cert: boolean
  readonly forwarded_attempt_count: boolean
}

/** What the card processor saw since; a request of ours goes to a route that payment-service does not use. */
async function askedSince(mesh: Mesh, sinceMs: number): Promise<readonly Asked[]> {
  const [pod] = await mesh.pods('card-processor', PSP)
  if (pod === undefined) throw new Error(`There is no card processor in ${PSP}.`)
  const lines = (await logLines(mesh.api, pod, 'card-processor', sinceMs)) as unknown as Asked[]
  return lines.filter(
    ({ msg, route, time }) => msg === 'request' && route === '/v1/charges/:id' && time >= sinceMs,
  )
}

function egressGateway(mesh: Mesh): Promise<Envoy> {
  return mesh.envoyOfAll('istio=egressgateway', EGRESS)
}

proof(
  'egress.gateway',
  {
    promise:
      'The card processor is reached by the egress gateway alone: by TLS, for its name, without a word of who called.',
    manifests: [FILE, 'istio-control-plane/gateways/egress.yaml'],
    fields: [
      'ServiceEntry psp spec',
      'Gateway istio-egress/psp-egress spec',
      'DestinationRule egressgateway-for-psp spec.trafficPolicy.tls',
      'DestinationRule psp-tls-origination spec.trafficPolicy',
      'VirtualService psp-through-egress spec',
      'AuthorizationPolicy istio-egress/allow-payment-to-psp spec',
    ],
  },
  async (mesh, saw) => {
    const caller = await mesh.probe({ namespace: OM, account: 'payment-service' })
    const envoy = await egressGateway(mesh)
    const connections = crypto.randomUUID()
    const sinceMs = Date.now()
    const asking = await envoy.during(async () => {
      await renewSerially(caller, [OTHER_READ], connections)
      const calls = [READ, { ...READ, method: 'POST' }, { ...READ, method: 'DELETE' }]
      return envoy.during(() => caller.calls(calls, { connections }))
    })
    const { value: answers, added } = asking.value
    saw(
      'ledger',
      'the caller’s answers to GET, POST, DELETE: two of the processor, one of the policy',
      answers.map(({ status, text }) => [status, text.includes('not_found')]),
      [
        [404, true],
        [404, true],
        [403, false],
      ],
    )
    const gateways = await podsOf(mesh.api, EGRESS, 'istio=egressgateway')
    const labels = new Map(gateways.map(({ metadata, status }) => [status.podIP, metadata.labels]))
    saw(
      'processor',
      'who came: method, pod, name in the TLS greeting, the caller’s certificate, its tries',
      (await askedSince(mesh, sinceMs)).map((line) => [
        line.method,
        labels.get(line.remote)?.['istio'] ?? line.remote,
        line.sni,
        line.forwarded_client_cert,
        line.forwarded_attempt_count,
      ]),
      [['GET', 'egressgateway', PSP_HOST, false, false]],
    )
    saw(
      'envoy',
      'egress gateway → processor: upstream_rq_total',
      added.of(`${TO_PSP}upstream_rq_total`),
      2,
    )
    saw(
      'envoy',
      'egress gateway → processor: connections, each with a handshake',
      asking.added.of(`${TO_PSP}ssl.handshake`),
      asking.added.of(`${TO_PSP}upstream_cx_total`),
    )
    saw('envoy', 'egress gateway: rbac.denied', added.of(`${GATEWAY_HTTP}rbac.denied`), 1)
    saw('envoy', 'egress gateway: listeners and clusters that wait', await warmingIn(envoy), 0)
  },
)

proof(
  'egress.only-payment',
  {
    promise: 'No other service gets through the egress gateway.',
    manifests: [FILE],
    fields: ['AuthorizationPolicy istio-egress/allow-payment-to-psp spec.rules[0].from'],
  },
  async (mesh, saw) => {
    const sinceMs = Date.now()
    const caller = await mesh.freshProbe({ namespace: OM, account: 'order-service' })
    const envoy = await egressGateway(mesh)
    const { value: answer, added } = await envoy.during(() => caller.call(READ))
    saw(
      'ledger',
      'order-service’s answer',
      [answer.status, answer.text],
      [403, 'RBAC: access denied'],
    )
    saw('processor', 'requests', (await askedSince(mesh, sinceMs)).length, 0)
    saw('envoy', 'egress gateway: rbac.denied', added.of(`${GATEWAY_HTTP}rbac.denied`), 1)
  },
)

proof(
  'egress.registry-only',
  {
    promise:
      'Nothing else outside is reached: an unknown host is refused in the caller’s own proxy, and other namespaces do not know the processor.',
    manifests: ['istio-control-plane/istio.yaml', FILE],
    fields: [
      'Istio default spec.values.meshConfig.outboundTrafficPolicy.mode',
      'ServiceEntry psp spec.exportTo',
    ],
  },
  async (mesh, saw) => {
    const inside = await mesh.probe({ namespace: OM, account: 'payment-service' })
    const beside = await mesh.probe({ namespace: PROBES, account: 'order-service' })
    // It listens and would answer: only the registry stands between.
    const outside = await mesh.probe({ namespace: EXTERNAL, injected: false })
    const sinceMs = Date.now()
    const path = `/${crypto.randomUUID()}`
    for (const { pod, call, envoy } of [inside, beside]) {
      const { value: answer, added } = await (await envoy()).during(() =>
        call({
          url: `http://${outside.ip}:8080${path}`,
          headers: { host: 'unknown.example.com' },
          fresh: true,
        }),
      )
      const where = pod.metadata.namespace
      saw('ledger', `${where}: the answer for an unknown host`, answer.status, 502)
      saw('envoy', `${where}: its route`, await routesOf(mesh, pod, path), ['block_all'])
      saw(
        'envoy',
        `${where}: PassthroughCluster upstream_rq_total`,
        added.of('cluster.PassthroughCluster;.upstream_rq_total'),
        0,
      )
    }
    const reached = await readLedger(
      mesh.api,
      probesLedger(EXTERNAL),
      sinceMs,
      (line) => line.path === path,
    )
    saw('ledger', 'the host outside: requests', reached.length, 0)
    // Its proxy knows nothing at this port and cuts the connection.
    const { value: stranger, added } = await (await beside.envoy()).during(() => beside.call(READ))
    saw('ledger', `${PROBES}: the answer for ${PSP_HOST}`, stranger.status, 0)
    saw(
      'envoy',
      `${PROBES}: tcp.BlackHoleCluster.downstream_cx_total`,
      added.of('tcp.BlackHoleCluster.downstream_cx_total'),
      1,
    )
  },
)

async function routesOf(mesh: Mesh, pod: KubernetesObject, path: string) {
  return (await accessOf(mesh, pod, path)).map(({ route_name: route }) => route)
}
