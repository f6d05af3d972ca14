/** The alerts about the mesh: tested, loaded, and on metrics that there are. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readFiles } from '@oms/gate/files'
import { ask } from '@oms/gate/gate'
import { treeOf } from '@oms/gate/manifests'
import { alertRules } from '@oms/gate/rules/alerts'
import { ROOT } from '@oms/lab/folders'
import { requireTools } from '@oms/lab/tools'
import { ApiError, collectionOf, type KubernetesObject, until, untilEnough } from './cluster/api.ts'
import { type Forward, forwardPort } from './cluster/envoy.ts'
import type { Mesh } from './cluster/mesh.ts'
import { PROBES, SYSTEM } from './cluster/names.ts'
import { chargeOf, paymentCaller, readOf } from './cluster/payment.ts'
import { podsOf } from './cluster/pods.ts'
import { SERVER_URL } from './cluster/server.ts'
import { proof } from './proof.ts'

const FILE = 'istio-control-plane/alerts.yaml'
const NAMES = readFileSync(join(ROOT, 'k8s/observability/metrics.snapshot'), 'utf8')
  .trim()
  .split('\n')

/** Resolves with what Prometheus answers to a query of its API. */
async function openPrometheus(mesh: Mesh): Promise<Forward> {
  const [pod] = await podsOf(mesh.api, 'monitoring', 'app=prometheus')
  if (pod === undefined) throw new Error('Prometheus has no pod')
  return forwardPort(mesh.api, pod, 9090)
}

proof(
  'alerts.unit',
  {
    promise:
      'Every alert fires on what it is for and is silent before, by promtool; Prometheus has loaded them.',
    manifests: [FILE, 'istio-control-plane/alerts.test.yaml'],
    fields: ['PrometheusRule istio-system/istio-control-plane-alerts spec.groups'],
    needs: ['prometheus', 'promtool', 'prometheusRules'],
  },
  async (mesh, saw) => {
    const tree = treeOf({ files: readFiles(join(ROOT, 'k8s')), evidence: new Map() })
    const answers = await ask(tree, requireTools(), alertRules)
    const found = answers.flatMap(({ findings }) => findings.map(({ what }) => what))
    saw('prometheus', 'promtool: what is wrong with the alerts and their tests', found, [])
    const rule = await mesh.api.read(
      `/apis/monitoring.coreos.com/v1/namespaces/${SYSTEM}/prometheusrules/istio-control-plane-alerts`,
    )
    const wanted = (rule?.['spec'].groups ?? []).flatMap(
      ({ rules }: { rules: readonly { alert: string }[] }) => rules.map(({ alert }) => alert),
    )
    const prometheus = await openPrometheus(mesh)
    try {
      const { data } = JSON.parse(await prometheus.ask('/api/v1/rules?type=alert')) as {
        data: { groups: readonly { rules: readonly { name: string }[] }[] }
      }
      const loaded = data.groups.flatMap(({ rules }) => rules.map(({ name }) => name))
      saw(
        'kubernetes',
        'alerts of the resource that Prometheus evaluates',
        wanted.filter((name: string) => loaded.includes(name)),
        wanted,
      )
    } finally {
      await prometheus.close()
    }
  },
)

/** Prometheus asks every 15 s. */
const SCRAPED_WITHIN_MS = 50_000

proof(
  'alerts.metrics',
  {
    promise: 'Each metric that an alert asks for is scraped, those of failures once there was one.',
    manifests: [FILE, 'observability'],
    fields: ['PrometheusRule istio-system/istio-control-plane-alerts spec.groups[*].rules[*].expr'],
    needs: ['prometheus'],
    timeoutMs: 120_000,
  },
  async (mesh, saw) => {
    const rejects = await mesh.istiod.metric(/^pilot_total_xds_rejects/)
    saw(
      'kubernetes',
      'a pod with an annotation that injection refuses',
      await refusedInjection(mesh),
      400,
    )
    await provoke(mesh)
    await rejectConfiguration(mesh)
    saw(
      'envoy',
      'istiod: pilot_total_xds_rejects',
      (await mesh.istiod.metric(/^pilot_total_xds_rejects/)) > rejects,
      true,
    )
    const prometheus = await openPrometheus(mesh)
    const readMissing = async (): Promise<readonly string[]> => {
      const said = JSON.parse(await prometheus.ask('/api/v1/label/__name__/values'))
      const known = new Set((said as { data: readonly string[] }).data)
      return NAMES.filter((name) => !known.has(name))
    }
    const missing = await untilEnough(SCRAPED_WITHIN_MS, readMissing, ({ length }) => length === 0)
    await prometheus.close()
    saw('prometheus', `metrics of ${NAMES.length} that it does not have`, missing, [])
  },
)

/** Overflow, ejection, a spent budget, and spans that Jaeger refuses. */
async function provoke(mesh: Mesh): Promise<void> {
  const caller = await paymentCaller(mesh, { fresh: true })
  await caller.calls([{ ...readOf({ fault: 'status=503;delay=20' }), repeat: 200 }], {
    workers: 50,
  })
  await caller.calls([{ ...chargeOf({ fault: 'delay=500;status=200', key: null }), repeat: 220 }], {
    everyMs: 1,
  })
  const stranger = await mesh.probe({ namespace: PROBES, account: 'order-service' })
  await stranger.calls([
    {
      url: SERVER_URL,
      headers: {
        'x-b3-traceid': '1'.repeat(32),
        'x-b3-spanid': '2'.repeat(16),
        'x-b3-sampled': '1',
      },
      repeat: 5,
    },
  ])
}

/** What the API server answers. */
async function refusedInjection(mesh: Mesh): Promise<number> {
  const pod: KubernetesObject = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'wrongly-annotated',
      namespace: PROBES,
      annotations: { 'proxy.istio.io/config': 'concurrency: [not, a, number]' },
    },
    spec: { containers: [{ name: 'none', image: 'none' }] },
  }
  try {
    await mesh.api.text(collectionOf(pod), { method: 'POST', body: pod })
    return 201
  } catch (error) {
    if (error instanceof ApiError) return error.status
    throw error
  }
}

/** A listener that Envoy refuses, for one probe alone. */
async function rejectConfiguration(mesh: Mesh): Promise<void> {
  const victim = await mesh.ownProbe({ namespace: PROBES, labels: { refuses: 'configuration' } })
  const envoy = await victim.envoy()
  await mesh.changes.create({
    apiVersion: 'networking.istio.io/v1alpha3',
    kind: 'EnvoyFilter',
    metadata: { name: 'refused', namespace: PROBES },
    spec: {
      workloadSelector: { labels: { refuses: 'configuration' } },
      configPatches: [
        {
          applyTo: 'CLUSTER',
          match: { context: 'SIDECAR_OUTBOUND' },
          patch: {
            operation: 'ADD',
            value: { name: 'refused', type: 'STRICT_DNS', connect_timeout: '-1s' },
          },
        },
      ],
    },
  })
  await until('the proxy refuses', 15_000, async () =>
    (await envoy.stats()).of('cluster_manager.cds.update_rejected') > 0 ? true : undefined,
  )
}
