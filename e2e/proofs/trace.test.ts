/** Traces: one tree for one order, how many orders leave one, and what its spans say. */
import { randomUUID } from 'node:crypto'
import { ORDER, TENANT } from '@oms/lab/order'
import { type Span, type TraceHead, traceHead, treeOf } from '@oms/lab/trace'
import type { KubernetesObject } from './cluster/api.ts'
import { untilEnough } from './cluster/api.ts'
import type { Envoy, Stats } from './cluster/envoy.ts'
import {
  gatewayCalls,
  gatewayPods,
  linesOfTenant,
  linesOfTrace,
  newTenant,
} from './cluster/ingress.ts'
import { lostOf, sendAtOnce, untilSpans } from './cluster/jaeger.ts'
import { type Line, probesLedger, readLedger, untilLines } from './cluster/ledger.ts'
import { binomialBounds, countBy } from './cluster/measure.ts'
import type { Mesh } from './cluster/mesh.ts'
import { EXTERNAL, OM, originOf, PAYMENT_ROUTES, PROBES, SERVICES } from './cluster/names.ts'
import { PROBE_LABEL } from './cluster/probe.ts'
import { ALL_AT_ONCE, ONE_BY_ONE, renewSerially } from './cluster/renew.ts'
import { atLeast, between, proof, type Saw } from './proof.ts'

const FILE = 'istio-config/observability-telemetry.yaml'
const SENT = 'tracing.zipkin.spans_sent'
const DROPPED = 'tracing.zipkin.reports_dropped'
const NO_CLUSTER = 'tracing.zipkin.reports_skipped_no_cluster'

const GATEWAY = 'istio-ingressgateway.istio-ingress'

function isProxy({ service }: Span): boolean {
  return service.includes('.')
}

/** As `payment-service.order-management server 503`, or `payment-service POST /api/v1/payments 201`. */
function tell(span: Span): string {
  const { service, operation, tags } = span
  const what = isProxy(span) ? tags['span.kind'] : operation
  const status = tags['http.status_code'] ?? tags['http.response.status_code'] ?? ''
  return `${service} ${what} ${status}`.trim()
}

const indented = (lines: readonly string[], by: number): readonly string[] =>
  lines.map((line) => `${'  '.repeat(by)}${line}`)

/** One hop inside: the caller's span, its proxy, the callee's proxy (once for each failed try, too), the callee. */
function hop(
  { caller, callee, operation, route = operation, status, failed = [] }: Hop,
  inside: readonly string[],
): readonly string[] {
  return [
    `${caller} ${operation} ${status}`,
    `  ${caller}.${OM} client ${status}`,
    ...failed.map((each) => `    ${callee}.${OM} server ${each}`),
    `    ${callee}.${OM} server ${status}`,
    `      ${callee} ${route} ${status}`,
    ...indented(inside, 4),
  ]
}

interface Hop {
  readonly caller: string
  readonly callee: string
  readonly operation: string
  /** As the callee has it. */
  readonly route?: string
  readonly status: number
  readonly failed?: readonly number[]
}

const BETWEEN = { caller: 'order-service', callee: 'inventory-service' } as const
const PAYING = { caller: 'order-service', callee: 'payment-service' } as const
const RESERVE = hop({ ...BETWEEN, operation: 'POST /api/v1/reservations', status: 201 }, [
  'inventory-service inventory.reserve',
])
const RELEASE = hop(
  {
    ...BETWEEN,
    operation: 'POST /api/v1/reservations/{orderId}/release',
    route: 'POST /api/v1/reservations/:orderId/release',
    status: 200,
  },
  ['inventory-service inventory.release'],
)

function charge(status: number, failed: readonly number[] = []): readonly string[] {
  return hop({ ...PAYING, operation: 'POST /api/v1/payments', status, failed }, [
    'payment-service payment.begin_charge',
    'payment-service POST /v1/charges 200',
    'payment-service payment.finish_charge',
  ])
}

/** From the gateway down. */
function order(status: number, inside: readonly string[]): readonly string[] {
  return [
    `${GATEWAY} server ${status}`,
    `  ${GATEWAY} client ${status}`,
    `    order-service.${OM} server ${status}`,
    `      order-service POST /api/v1/orders ${status}`,
    ...indented(['order-service order.accept_order', ...RESERVE, ...inside], 4),
  ]
}

const VERDICT = 'order-service order.apply_verdict'

const ORDERS = [
  {
    what: 'confirmed',
    token: 'pm_approve0001',
    status: 201,
    tree: order(201, [...charge(201), VERDICT]),
  },
  {
    what: 'declined',
    token: 'pm_decline0001',
    status: 402,
    tree: order(402, [...charge(402), VERDICT, ...RELEASE, 'order-service order.apply_released']),
  },
  {
    what: 'retried',
    token: 'pm_approve0001',
    status: 201,
    tree: order(201, [...charge(201, [503]), VERDICT]),
  },
] as const

/** @param connections as `renewOrders` gave them. */
async function place(mesh: Mesh, head: TraceHead, token: string, connections: string) {
  const [answer] = await gatewayCalls(mesh, [orderOf(head, token)], { connections })
  return answer
}

function orderOf(head: TraceHead, token: string) {
  return {
    method: 'POST',
    path: '/api/v1/orders',
    tenant: TENANT,
    headers: { 'idempotency-key': randomUUID(), ...head.headers },
    body: { ...ORDER, payment_token: token },
  }
}

/** More than the connections that the services keep among themselves. */
const ROUNDS = 3

/**
 * A connection traces as it did when it began until its next answer, which closes it. Many at once reach those that the
 * services keep among themselves; one after the other those that the gateway takes for this client.
 * @returns the client's connections, that orders are placed by afterwards.
 */
async function renewOrders(mesh: Mesh): Promise<string> {
  const connections = randomUUID()
  const orders = (count: number) =>
    Array.from({ length: count }, () => orderOf(traceHead(false), 'pm_approve0001'))
  await gatewayCalls(mesh, orders(ROUNDS * ALL_AT_ONCE), { workers: ALL_AT_ONCE })
  await gatewayCalls(mesh, orders(ONE_BY_ONE), { connections })
  return connections
}

/** payment-service's first answer is 503: the route that retries writes the fault into the request. */
async function failFirstTry(mesh: Mesh): Promise<void> {
  await mesh.istiod.pushed(() =>
    mesh.changes.patch(PAYMENT_ROUTES, [
      {
        op: 'add',
        path: '/spec/http/0/headers',
        value: { request: { set: { 'x-oms-fault': 'status=503;attempts=1' } } },
      },
    ]),
  )
}

/** Those whom an order passes. */
async function podsOnTheWay(mesh: Mesh): Promise<readonly KubernetesObject[]> {
  const services = await Promise.all(SERVICES.map((service) => mesh.pods(service)))
  return [...(await gatewayPods(mesh)), ...services.flat()]
}

proof(
  'trace.tree',
  {
    promise:
      'An order leaves one trace: spans of proxies and applications, each below the one that caused it, none lost.',
    manifests: [FILE, 'istio-control-plane/istio.yaml', 'istio-config/sidecar.yaml'],
    fields: [
      'Istio default spec.values.meshConfig.extensionProviders[0]',
      'Telemetry istio-system/mesh-telemetry spec.tracing[0].providers',
      'Sidecar order-management/default spec.egress[0].hosts',
    ],
    needs: ['token'],
    timeoutMs: 120_000,
  },
  async (mesh, saw) => {
    const pods = await podsOnTheWay(mesh)
    await sendAtOnce(mesh, pods)
    const connections = await renewOrders(mesh)
    const proxies = await Promise.all(pods.map(mesh.envoyOf))
    const before = await Promise.all(proxies.map((each) => each.stats()))
    for (const { what, token, status, tree } of ORDERS) {
      const head = traceHead(true)
      if (what === 'retried') await failFirstTry(mesh)
      const answer = await place(mesh, head, token, connections)
      saw('ledger', `${what}: the answer`, answer?.status, status)
      const spans = await untilSpans(mesh, head, tree.length)
      saw('jaeger', `${what}: the tree`, treeOf(spans, tell), tree)
      saw('jaeger', `${what}: spans whose parent is lost`, lostOf(spans, head), [])
      const ids = new Set(spans.map(({ id }) => id))
      for (const service of SERVICES) {
        const tries = service === 'payment-service' && what === 'retried' ? 2 : 1
        const least = service === 'inventory-service' && what === 'declined' ? 2 : tries
        const lines = await linesOfTrace(mesh, service, head, least)
        saw('ledger', `${what}: requests of the trace to ${service}`, lines.length, least)
        // The fault stands before the application: of its line only the proxy's span is known.
        const lost = lines.filter(({ span_id: id }) => id === null || !ids.has(id))
        saw('jaeger', `${what}: lines of ${service} without their span`, lost.length, 0)
      }
    }
    await watchSending(saw, proxies, before)
  },
)

async function watchSending(
  saw: Saw,
  proxies: readonly Envoy[],
  before: readonly Stats[],
): Promise<void> {
  const after = await Promise.all(proxies.map((each) => each.stats()))
  const added = (stat: string): number =>
    after.reduce((sum, stats, n) => sum + stats.of(stat) - (before[n]?.of(stat) ?? 0), 0)
  saw('envoy', 'gateway and sidecars: spans_sent', added(SENT), atLeast(1))
  saw('envoy', 'gateway and sidecars: reports_dropped', added(DROPPED), 0)
  saw('envoy', 'gateway and sidecars: reports_skipped_no_cluster', added(NO_CLUSTER), 0)
}

const MANY = 1000
/** Twice as long as a proxy keeps a span that it had before it was told to send at once. */
const SENT_WITHIN_MS = 10_000

/** `count` more than `before`, or what is there after 10 s. */
function untilSent(envoy: Envoy, before: number, count: number): Promise<number> {
  return untilEnough(
    SENT_WITHIN_MS,
    async () => (await envoy.stats()).of(SENT) - before,
    (sent) => sent >= count,
  )
}

const OUTSIDE_SERVICE: KubernetesObject = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'probe', namespace: EXTERNAL },
  spec: { selector: { app: PROBE_LABEL }, ports: [{ name: 'http', port: 8080 }] },
}

proof(
  'trace.sampling',
  {
    promise:
      'Of what starts in the mesh one request in a hundred leaves a trace; in order-management, and through the gateway, one in ten.',
    manifests: [FILE],
    fields: [
      'Telemetry istio-system/mesh-telemetry spec.tracing[0].randomSamplingPercentage',
      'Telemetry order-management/order-management-telemetry spec.tracing[0].randomSamplingPercentage',
      'Telemetry istio-ingress/ingress-telemetry spec.tracing[0].randomSamplingPercentage',
    ],
    needs: ['token'],
    timeoutMs: 120_000,
  },
  async (mesh, saw) => {
    await judge(saw, await sampledElsewhere(mesh, saw))
    await judge(saw, await sampledInside(mesh))
    await judge(saw, await sampledAtGateway(mesh))
  },
)

function expectSampled(share: number) {
  const { least, most } = binomialBounds(MANY, share)
  // One of a thousand at least: the normal approximation is off where so few are expected.
  return share < 0.05 ? between(1, 25, '99.99 %') : between(least, most, '99.99 %')
}

/** deny-all refuses its spans at Jaeger: they are counted where they are sent. */
async function sampledElsewhere(mesh: Mesh, saw: Saw): Promise<Sampled> {
  const caller = await mesh.probe({ namespace: PROBES, account: 'order-service' })
  // Whom it calls.
  await mesh.probe({ namespace: EXTERNAL, injected: false })
  await mesh.istiod.pushed(() => mesh.changes.create(OUTSIDE_SERVICE))
  await sendAtOnce(mesh, [caller.pod])
  const envoy = await caller.envoy()
  const before = await envoy.stats()
  const path = `/${randomUUID()}`
  const sinceMs = Date.now()
  const answers = await caller.calls(
    [{ url: `${originOf('probe', EXTERNAL)}${path}`, repeat: MANY }],
    { workers: 8 },
  )
  saw(
    'ledger',
    'oms-probe: answers',
    countBy(answers, ({ status }) => status),
    { 200: MANY },
  )
  const lines = await untilLines(MANY, () =>
    readLedger(mesh.api, probesLedger(EXTERNAL), sinceMs, (line) => line.path === path),
  )
  return { who: 'oms-probe', lines, share: 0.01, envoy, before, spans: 1, isRefused: true }
}

async function sampledInside(mesh: Mesh): Promise<Sampled> {
  const caller = await mesh.probe({ namespace: OM, account: 'order-service' })
  await sendAtOnce(mesh, [caller.pod])
  const envoy = await caller.envoy()
  const before = await envoy.stats()
  const tenant = newTenant()
  await caller.calls(
    [
      {
        url: `${originOf('payment-service')}/api/v1/payments/${randomUUID()}`,
        headers: { 'x-tenant-id': tenant },
        repeat: MANY,
      },
    ],
    { workers: 8 },
  )
  const lines = await linesOfTenant(mesh, 'payment-service', tenant, MANY)
  return { who: 'order-management', lines, share: 0.1, envoy, before, spans: 1 }
}

async function sampledAtGateway(mesh: Mesh): Promise<Sampled> {
  await sendAtOnce(mesh, await gatewayPods(mesh))
  const envoy = await mesh.gatewayEnvoy()
  const before = await envoy.stats()
  const tenant = newTenant()
  await gatewayCalls(mesh, [{ path: '/api/v1/orders', tenant, repeat: MANY }], { workers: 8 })
  const lines = await linesOfTenant(mesh, 'order-service', tenant, MANY)
  // A gateway has a span of the router beside that of the request.
  return { who: 'gateway', lines, share: 0.1, envoy, before, spans: 2 }
}

interface Sampled {
  readonly who: string
  readonly lines: readonly Line[]
  readonly share: number
  readonly envoy: Envoy
  readonly before: Stats
  /** That the proxy sends for a request. */
  readonly spans: number
  /** Jaeger does not let its spans in. */
  readonly isRefused?: boolean
}

async function judge(
  saw: Saw,
  { who, lines, share, envoy, before, spans, isRefused = false }: Sampled,
): Promise<void> {
  // A try that is made again is no request of its own.
  const requests = lines.filter(({ attempt }) => attempt === 1)
  const sampled = requests.filter((line) => line.sampled === '1').length
  saw('ledger', `${who}: requests`, requests.length, MANY)
  saw('ledger', `${who}: sampled`, sampled, expectSampled(share))
  const sent = await untilSent(envoy, before.of(SENT), sampled * spans)
  saw('envoy', `${who}: spans_sent, ${spans} for each`, sent, sampled * spans)
  if (!isRefused) return
  const dropped = (await envoy.stats()).of(DROPPED) - before.of(DROPPED)
  saw('envoy', `${who}: reports_dropped: Jaeger does not let it in`, dropped, atLeast(1))
}

proof(
  'trace.tags',
  {
    promise:
      'Spans of proxies say tenant, order and kind of service, as the application’s lines do; where nobody said them, defaults.',
    manifests: [FILE, 'apps/order-service.yaml', 'istio-control-plane/gateways/ingress.yaml'],
    fields: [
      'Telemetry istio-system/mesh-telemetry spec.tracing[0].customTags',
      'Telemetry order-management/order-management-telemetry spec.tracing[0].customTags',
      'Deployment * spec.template.metadata.annotations[proxy.istio.io/config]',
    ],
    needs: ['token'],
    timeoutMs: 90_000,
  },
  async (mesh, saw) => {
    const caller = await mesh.probe({ namespace: OM, account: 'order-service' })
    const health = { url: `${originOf('payment-service')}/health` }
    await sendAtOnce(mesh, [caller.pod, ...(await podsOnTheWay(mesh))])
    const connections = await renewOrders(mesh)
    await renewSerially(caller, [health], connections)
    const [head, bare, stranger] = [traceHead(true), traceHead(true), traceHead(true)]
    await place(mesh, head, 'pm_approve0001', connections)
    await caller.calls([{ ...health, headers: bare.headers }], { connections })
    await mesh.gateway({ path: '/api/v1/orders', headers: stranger.headers })
    const spans = await untilSpans(mesh, head, ORDERS[0].tree.length)
    const [line] = await linesOfTrace(mesh, 'payment-service', head, 1)
    const seen = Object.fromEntries(
      treeOf(spans.filter(isProxy), (span) => JSON.stringify([kindOf(span), tagsOf(span)]))
        .map((each) => JSON.parse(each.trim()))
        .filter(([kind]) => kind in EXPECTED_KINDS),
    )
    const [tenant, order] = [line?.tenant_id, line?.order_id]
    saw('jaeger', 'an order: tenant, order, kind of service by proxy', seen, {
      [`${GATEWAY} server`]: [tenant, null, 'edge'],
      // It has no number before the application has given it one.
      [`order-service.${OM} server`]: [tenant, 'none', 'orchestrator'],
      [`payment-service.${OM} server`]: [tenant, order, 'money'],
      [`inventory-service.${OM} server`]: [tenant, order, 'stock'],
    })
    saw('ledger', 'payment-service: the tenant is the token’s', tenant, TENANT)

    const of = async (trace: TraceHead, count: number) =>
      Object.fromEntries(
        (await untilSpans(mesh, trace, count)).map((span) => [kindOf(span), tagsOf(span)]),
      )
    saw('jaeger', 'a request without headers', await of(bare, 2), {
      [`e2e-probe.${OM} client`]: ['unknown', 'none', 'other'],
      [`payment-service.${OM} server`]: ['unknown', 'none', 'money'],
    })
    saw('jaeger', 'a request without a token', await of(stranger, 1), {
      [`${GATEWAY} server`]: ['unknown', null, 'edge'],
    })
    const elsewhere = await mesh.probe({ namespace: PROBES, account: 'order-service' })
    saw('envoy', 'oms-probe: custom tags', await configuredTags(await elsewhere.envoy()), [
      { tag: 'service_type', environment: { name: 'OMS_SERVICE_TYPE', default_value: 'other' } },
      { tag: 'tenant', request_header: { name: 'x-tenant-id', default_value: 'unknown' } },
    ])
  },
)

const EXPECTED_KINDS = Object.fromEntries(
  [GATEWAY, ...SERVICES.map((service) => `${service}.${OM}`)].map((proxy) => [
    `${proxy} server`,
    1,
  ]),
)

function kindOf({ service, tags }: Span): string {
  return `${service} ${tags['span.kind']}`
}

function tagsOf({ tags }: Span): readonly unknown[] {
  return ['tenant', 'order_id', 'service_type'].map((tag) => tags[tag] ?? null)
}

/** Those of the Telemetry resource: all but Istio's own. */
async function configuredTags(envoy: Envoy): Promise<readonly object[]> {
  const found = new Map<string, object>()
  JSON.parse(await envoy.get('/config_dump?resource=dynamic_listeners'), (key, value) => {
    if (key === 'custom_tags')
      for (const each of value as readonly { readonly tag: string }[])
        if (!each.tag.startsWith('istio.')) found.set(each.tag, each)
    return value
  })
  return [...found.keys()].sort().map((tag) => found.get(tag) as object)
}
