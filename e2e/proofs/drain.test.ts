/** The end of a pod costs nobody an answer; and no container calls before its proxy takes calls. */
import { randomUUID } from 'node:crypto'
import { ORDER, TENANT } from '@oms/lab/order'
import type { KubernetesObject } from './cluster/api.ts'
import { pathOf, until } from './cluster/api.ts'
import type { Envoy } from './cluster/envoy.ts'
import {
  gatewayCalls,
  gatewayLog,
  gatewayPods,
  linesOfTenant,
  newTenant,
} from './cluster/ingress.ts'
import { countBy } from './cluster/measure.ts'
import type { Mesh } from './cluster/mesh.ts'
import {
  clusterOf,
  EXTERNAL,
  GATEWAY_HOST,
  GATEWAY_HTTP,
  INGRESS,
  identityOf,
  OM,
  statOf,
} from './cluster/names.ts'
import { linesOf, PAYMENT, readOf } from './cluster/payment.ts'
import { logLines, podsOf, restart, untilRolledOut } from './cluster/pods.ts'
import type { Answer, Probe } from './cluster/probe.ts'
import { between, proof } from './proof.ts'

const GATEWAYS = 'istio-control-plane/gateways/ingress.yaml'
const GATEWAY = `/apis/apps/v1/namespaces/${INGRESS}/deployments/istio-ingressgateway`
const PODS = `/api/v1/namespaces/${OM}/pods`
const ORDER_SERVICE = `/apis/apps/v1/namespaces/${OM}/deployments/order-service`

/** Asks over and over until `work` is done. */
async function meanwhile<T>(
  ask: () => Promise<readonly T[]>,
  work: Promise<unknown>,
): Promise<readonly T[]> {
  let isDone = false
  const done = work.finally(() => {
    isDone = true
  })
  // Whoever awaits it below is told.
  done.catch(() => undefined)
  const all: T[] = []
  while (!isDone) all.push(...(await ask()))
  await done
  return all
}

const EVERY_MS = 50

proof(
  'drain.rollout',
  {
    promise: 'While order-service is replaced, 20 orders a second are all answered.',
    manifests: ['apps/order-service.yaml', 'istio-config/virtualservice-canary.yaml'],
    fields: [
      'Deployment order-service spec.strategy',
      'Deployment order-service spec.template.spec.terminationGracePeriodSeconds',
    ],
    needs: ['token'],
    timeoutMs: 240_000,
  },
  async (mesh, saw) => {
    const before = await stablePods(mesh)
    const { metadata: start } = JSON.parse(await mesh.api.text(`${PODS}?limit=1`))
    const envoy = await mesh.gatewayEnvoy()
    const rollOut = async (): Promise<void> => {
      await restart(mesh.api, ORDER_SERVICE)
      await untilRolledOut(mesh.api, OM, 'order-service', 180_000)
    }
    // As many as in two seconds.
    const place = () =>
      gatewayCalls(
        mesh,
        Array.from({ length: 40 }, () => ({
          path: '/api/v1/orders',
          method: 'POST',
          tenant: TENANT,
          headers: { 'idempotency-key': randomUUID() },
          body: ORDER,
        })),
        { everyMs: EVERY_MS },
      )
    const { value: answers, added } = await envoy.during(() => meanwhile(place, rollOut()))
    const failed = answers.filter(({ status }) => status < 200 || status > 299)
    saw('ledger', `answers other than 2xx, of ${answers.length}`, countBy(failed, tellAnswer), {})
    const names = new Set(before.map(({ metadata }) => metadata.name))
    const after = await stablePods(mesh)
    saw(
      'kubernetes',
      'pods that are still the old ones',
      after.filter(({ metadata }) => names.has(metadata.name)).length,
      0,
    )
    saw(
      'kubernetes',
      'how order-service ended in the old pods (137: killed before it was done)',
      Object.fromEntries(
        (await exitCodes(mesh, start.resourceVersion)).filter(([pod]) => names.has(pod)),
      ),
      Object.fromEntries([...names].map((pod) => [pod, 0])),
    )
    const cluster = clusterOf('order-service', 8080, OM, 'stable')
    saw(
      'envoy',
      'gateway: upstream_rq_completed',
      added.of(statOf(cluster, 'upstream_rq_completed')),
      answers.length,
    )
    const flagged = await gatewayLog(mesh, ({ path }) => path === '/api/v1/orders')
    saw(
      'envoy',
      'gateway: response_flags',
      countBy(flagged, (line) => line.response_flags),
      {},
    )
  },
)

function stablePods(mesh: Mesh): Promise<readonly KubernetesObject[]> {
  return podsOf(mesh.api, OM, 'app=order-service,version=stable')
}

/** Name and exit code of order-service in each pod that has gone since. @param version of the list of pods then. */
async function exitCodes(
  { api }: Mesh,
  version: string,
): Promise<readonly (readonly [string, number | undefined])[]> {
  const query = new URLSearchParams({
    watch: 'true',
    resourceVersion: version,
    timeoutSeconds: '1',
  })
  const text = await api.text(`${PODS}?${query}`)
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ type }) => type === 'DELETED')
    .map(({ object: { metadata, status } }) => [
      metadata.name,
      status.containerStatuses.find(({ name }: { name: string }) => name === 'order-service')?.state
        .terminated?.exitCode,
    ])
}

function tellAnswer({ status, error, text }: Answer): string {
  return status === 200 ? '200' : `${status} ${error ?? text.slice(0, 200)}`
}

/** 8 s: longer than the 5 s after which a proxy ends by default. */
const LONG_MS = 8000
const BY_DEFAULT_MS = 5000
/** 75 s: its grace is 60. */
const GONE_WITHIN_MS = 75_000

proof(
  'drain.gateway',
  {
    promise: 'A gateway’s pod ends when its last request is answered, and the others go on.',
    manifests: [GATEWAYS, 'istio-control-plane/istio.yaml'],
    fields: [
      'Istio default spec.values.meshConfig.defaultConfig.proxyMetadata.EXIT_ON_ZERO_ACTIVE_CONNECTIONS',
      'Deployment istio-ingress/istio-ingressgateway spec.template.spec.terminationGracePeriodSeconds',
    ],
    needs: ['token'],
    timeoutMs: 180_000,
  },
  async (mesh, saw) => {
    const replicas = (await mesh.api.read(GATEWAY))?.['spec'].replicas ?? 1
    await mesh.changes.patch(GATEWAY, [
      { op: 'add', path: '/spec/replicas', value: Math.max(2, replicas) },
    ])
    await untilRolledOut(mesh.api, INGRESS, 'istio-ingressgateway')
    const [leaving] = await gatewayPods(mesh)
    if (leaving === undefined) throw new Error(`There is no gateway in ${INGRESS}.`)
    const envoy = await mesh.envoyOf(leaving)
    const tenant = newTenant()
    const answer = longCall(mesh, leaving, tenant)
    await until('the long request under way', 5000, async () =>
      (await activeIn(envoy)) > 0 ? true : undefined,
    )
    const askedAt = performance.now()
    await mesh.api.remove(pathOf(leaving))
    const watching = activeAfter(envoy, askedAt + BY_DEFAULT_MS)
    const others = await meanwhile(
      () => gatewayCalls(mesh, [{ path: '/api/v1/orders', tenant: newTenant(), fresh: true }]),
      answer,
    )
    saw(
      'envoy',
      `the leaving pod: requests under way more than ${BY_DEFAULT_MS} ms after its end was asked for`,
      await watching,
      1,
    )
    const { status, ms, error } = await answer
    saw('ledger', 'the answer to the long request', [status, error ?? null], [200, null])
    saw('ledger', 'milliseconds that it took', ms, between(LONG_MS, LONG_MS + 2000))
    const lines = await linesOfTenant(mesh, 'order-service', tenant, 1)
    saw(
      'ledger',
      'order-service: the long request: status, aborted',
      lines.map((line) => [line.status, line.aborted]),
      [[200, false]],
    )
    saw('ledger', 'the other answers', countBy(others, tellAnswer), { 200: others.length })
    const isGone = await until('the pod gone', GONE_WITHIN_MS, async () =>
      (await mesh.api.read(pathOf(leaving))) === undefined ? true : undefined,
    ).catch(() => false)
    saw('kubernetes', 'the pod is gone', isGone, true)
  },
)

async function longCall(mesh: Mesh, pod: KubernetesObject, tenant: string): Promise<Answer> {
  const outside = await mesh.probe({ namespace: EXTERNAL, injected: false })
  return outside.call({
    url: `https://${pod['status'].podIP}:8443/api/v1/orders`,
    servername: GATEWAY_HOST,
    insecure: true,
    fresh: true,
    headers: {
      host: GATEWAY_HOST,
      authorization: `Bearer ${await mesh.token({ tenant })}`,
      'x-oms-fault': `delay=${LONG_MS}`,
    },
  })
}

async function activeIn(envoy: Envoy): Promise<number> {
  return (await envoy.stats()).of(`${GATEWAY_HTTP}downstream_rq_active`)
}

/** The first that it says after `ms` of performance.now(); 0 where it is gone by then. */
async function activeAfter(envoy: Envoy, ms: number): Promise<number> {
  return until('the leaving proxy', 2 * LONG_MS, async () => {
    const active = await activeIn(envoy).catch(() => 0)
    return performance.now() > ms || active === 0 ? active : undefined
  })
}

proof(
  'hold.start',
  {
    promise: 'Where sidecars are no native ones, a program’s first call finds its proxy ready.',
    manifests: ['istio-control-plane/istio.yaml'],
    fields: ['Istio default spec.values.meshConfig.defaultConfig.holdApplicationUntilProxyStarts'],
    timeoutMs: 120_000,
  },
  async (mesh, saw) => {
    const { orderId, ...call } = readOf()
    const probe = await mesh.probe({
      namespace: OM,
      account: 'order-service',
      annotations: { 'sidecar.istio.io/nativeSidecar': 'false' },
      callAtStart: call,
    })
    try {
      const [said] = await untilLog(mesh, probe)
      const answered = [said?.['status'], said?.['error'] ?? null]
      saw('ledger', 'the first call, of a payment that is not there', answered, [404, null])
      const lines = await linesOf(mesh, { ...call, orderId }, 1)
      saw(
        'ledger',
        'payment-service: who called',
        lines.map(({ peer }) => peer),
        [identityOf('order-service')],
      )
      const names = (containers: readonly { readonly name: string }[] = []) =>
        containers.map(({ name }) => name).filter((name) => name === 'istio-proxy')
      const { initContainers, containers } = probe.pod['spec']
      saw(
        'kubernetes',
        'proxies: native, others',
        [names(initContainers), names(containers)],
        [[], ['istio-proxy']],
      )
      const stats = await (await probe.envoy()).stats()
      saw('envoy', 'upstream_rq_total', stats.of(statOf(PAYMENT, 'upstream_rq_total')), 1)
    } finally {
      await probe.remove()
    }
  },
)

async function untilLog(mesh: Mesh, { pod }: Probe) {
  return until('the first call', 25_000, async () => {
    const lines = await logLines(mesh.api, pod, 'probe', Date.now() - 60_000)
    const said = lines.filter(({ msg }) => msg === 'called at start')
    return said.length > 0 ? said : undefined
  }).catch(() => [])
}
