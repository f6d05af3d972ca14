/** What every caller's proxy has for every service: limits, ejection, the choice of a pod. */

import type { Envoy } from './cluster/envoy.ts'
import { countBy } from './cluster/measure.ts'
import { INGRESS, OM } from './cluster/names.ts'
import { linesOf, PAYMENT, paymentCaller, readOf } from './cluster/payment.ts'
import { atMost, proof } from './proof.ts'

const RULES = 'istio-config/destinationrule-circuit-breaker.yaml'

/** P of every rule, as Envoy has it. */
const LIMITS = {
  maxConnections: 100,
  maxPendingRequests: 50,
  maxRequests: 100,
  retryBudget: { percent: 20, least: 3 },
  connectTimeout: '1s',
  outlier: { consecutive5xx: 5, interval: '10s', baseEjectionTime: '30s', maxEjectionPercent: 50 },
  lbPolicy: 'LEAST_REQUEST',
}

interface Cluster {
  readonly name: string
  readonly connect_timeout?: string
  readonly lb_policy?: string
  readonly circuit_breakers?: {
    readonly thresholds: readonly {
      readonly max_connections?: number
      readonly max_pending_requests?: number
      readonly max_requests?: number
      readonly retry_budget?: {
        readonly budget_percent: { readonly value: number }
        readonly min_retry_concurrency: number
      }
    }[]
  }
  readonly outlier_detection?: {
    readonly consecutive_5xx?: number
    readonly interval?: string
    readonly base_ejection_time?: string
    readonly max_ejection_percent?: number
  }
}

function limitsOf({ circuit_breakers: breakers, outlier_detection: outlier, ...cluster }: Cluster) {
  const [most] = breakers?.thresholds ?? []
  return {
    maxConnections: most?.max_connections,
    maxPendingRequests: most?.max_pending_requests,
    maxRequests: most?.max_requests,
    retryBudget: {
      percent: most?.retry_budget?.budget_percent.value,
      least: most?.retry_budget?.min_retry_concurrency,
    },
    connectTimeout: cluster.connect_timeout,
    outlier: {
      consecutive5xx: outlier?.consecutive_5xx,
      interval: outlier?.interval,
      baseEjectionTime: outlier?.base_ejection_time,
      maxEjectionPercent: outlier?.max_ejection_percent,
    },
    lbPolicy: cluster.lb_policy,
  }
}

/** Of order-management's services, by name. */
async function clustersOf(envoy: Envoy): Promise<Readonly<Record<string, Cluster>>> {
  const dump = JSON.parse(await envoy.get('/config_dump?resource=dynamic_active_clusters')) as {
    configs: readonly { cluster: Cluster }[]
  }
  const ours = dump.configs
    .map(({ cluster }) => cluster)
    .filter(({ name }) => new RegExp(`^outbound\\|.*\\.${OM}\\.svc`).test(name))
  return Object.fromEntries(ours.map((cluster) => [cluster.name, cluster]))
}

proof(
  'dr.restated',
  {
    promise:
      'Every caller has the same limits for every service and subset; no rule takes another’s away.',
    manifests: [RULES],
    fields: [
      'DestinationRule order-management/* spec.trafficPolicy',
      'DestinationRule order-service-subsets spec.subsets',
    ],
  },
  async (mesh, saw) => {
    const services = await mesh.api.list(`/api/v1/namespaces/${OM}/services`)
    const names = services.flatMap(({ metadata: { name }, spec }) =>
      spec.ports.map(
        ({ port }: { port: number }) => `outbound|${port}||${name}.${OM}.svc.cluster.local`,
      ),
    )
    const subsets = ['stable', 'canary'].map(
      (subset) => `outbound|8080|${subset}|order-service.${OM}.svc.cluster.local`,
    )
    const caller = await paymentCaller(mesh)
    const callers = [await caller.envoy(), await mesh.gatewayEnvoy()]
    for (const [at, envoy] of callers.entries()) {
      const clusters = await clustersOf(envoy)
      const who = at === 0 ? 'order-service’s' : `${INGRESS}’s`
      const others = Object.values(clusters).filter(
        (cluster) => JSON.stringify(limitsOf(cluster)) !== JSON.stringify(LIMITS),
      )
      saw(
        'envoy',
        `${who} clusters with other limits`,
        Object.fromEntries(others.map((cluster) => [cluster.name, limitsOf(cluster)])),
        {},
      )
      if (at === 0)
        saw(
          'kubernetes',
          'services and subsets that have a cluster',
          Object.keys(clusters).sort(),
          [...names, ...subsets].sort(),
        )
    }
  },
)

proof(
  'lb.least-request',
  {
    promise: 'Of two pods the slower one gets less: the less busy of two is chosen.',
    manifests: [RULES],
    fields: [
      'DestinationRule payment-service-circuit-breaker spec.trafficPolicy.loadBalancer.simple',
    ],
  },
  async (mesh, saw) => {
    const [slow, ...others] = await mesh.pods('payment-service')
    if (slow === undefined || others.length !== 1)
      throw new Error('payment-service has not two pods')
    // To another's proxy a pod may be ejected.
    const caller = await paymentCaller(mesh, { fresh: true })
    const envoy = await caller.envoy()
    const read = readOf({ fault: `delay=200;pod=${slow.metadata.name}` })
    const before = await requestsTo(envoy, slow['status'].podIP)
    await caller.calls([{ ...read, repeat: 400 }], { workers: 8 })
    const sent = (await requestsTo(envoy, slow['status'].podIP)) - before
    const lines = await linesOf(mesh, read, 400)
    const pods = countBy(lines, ({ pod }) => pod)
    const share = (pods[slow.metadata.name] ?? 0) / lines.length
    saw('ledger', 'payment-service: requests', lines.length, 400)
    saw('ledger', 'share of the slow pod', share, atMost(0.33))
    saw('envoy', 'caller: rq_total of the slow pod', sent, pods[slow.metadata.name] ?? 0)
  },
)

/** By the endpoint's own counter. */
async function requestsTo(envoy: Envoy, ip: string): Promise<number> {
  const clusters = await envoy.get('/clusters')
  const line = clusters
    .split('\n')
    .find((each) => each.startsWith(`${PAYMENT}::${ip}:`) && each.includes('::rq_total::'))
  return Number(line?.split('::').at(-1) ?? 0)
}
