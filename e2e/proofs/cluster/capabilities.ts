/** What a cluster has that not every one has: a proof that lacks one says so and does not run. */
import type { Api } from './api.ts'
import { OM } from './names.ts'
import { podsOf } from './pods.ts'
import type { Target } from './target.ts'

/** Capability → what a proof that lacks it says. */
export const LACKS = {
  istioStats: "the proxies lack Istio's own filters (istio.stats)",
  networkPolicy: 'no engine enforces NetworkPolicies',
  cni: 'there is no Istio CNI node agent',
  nativeSidecar: 'sidecars are not native',
  multiNode: 'there is one node only',
  sail: 'there is no Sail operator',
  argocd: 'there is no Argo CD',
  kiali: 'there is no Kiali',
  gatewayApi: 'there is no Gateway API',
  ambient: 'there is no ambient data plane (ztunnel)',
  prometheus: 'there is no Prometheus in monitoring',
  prometheusRules: 'there is no PrometheusRule (prometheus-operator)',
  token: 'nobody here can sign a token for the gateway (--token-key)',
  promtool: "promtool is not in the lab's tool cache (pnpm lab build)",
} as const

export type Capability = keyof typeof LACKS
export type Capabilities = Readonly<Record<Capability, boolean>>

const NETWORK_ENGINES = /^(calico-node|cilium|antrea-agent|kube-router|weave-net)$/

export async function detectCapabilities(api: Api, target: Target): Promise<Capabilities> {
  const [daemonSets, deployments, definitions, nodes, [pod]] = await Promise.all([
    api.list('/apis/apps/v1/daemonsets'),
    api.list('/apis/apps/v1/deployments'),
    api.list('/apis/apiextensions.k8s.io/v1/customresourcedefinitions'),
    api.list('/api/v1/nodes'),
    podsOf(api, OM, 'app=order-service'),
  ])
  const named = (objects: typeof daemonSets, name: string | RegExp): boolean =>
    objects.some(({ metadata }) =>
      typeof name === 'string' ? metadata.name === name : name.test(metadata.name),
    )
  const proxy = [...(pod?.['spec'].initContainers ?? []), ...(pod?.['spec'].containers ?? [])].find(
    ({ name }) => name === 'istio-proxy',
  )
  return {
    // A stock Envoy under Istio's name has no such filter: the lab says so in its overlay of istiod.
    istioStats: !deployments.some(
      ({ metadata, spec }) =>
        metadata.name === 'istiod' &&
        spec.template.spec.containers[0].env?.some(
          (each: { name: string; value?: string }) =>
            each.name === 'PILOT_ENABLE_METADATA_EXCHANGE' && each.value === 'false',
        ),
    ),
    networkPolicy: named(daemonSets, NETWORK_ENGINES),
    cni: named(daemonSets, 'istio-cni-node'),
    nativeSidecar: proxy?.restartPolicy === 'Always',
    multiNode: nodes.length > 1,
    sail: named(deployments, 'sail-operator'),
    argocd: named(definitions, 'applications.argoproj.io'),
    kiali: named(deployments, 'kiali'),
    gatewayApi: named(definitions, 'gateways.gateway.networking.k8s.io'),
    ambient: named(daemonSets, 'ztunnel'),
    prometheus: deployments.some(
      ({ metadata }) => metadata.namespace === 'monitoring' && metadata.name === 'prometheus',
    ),
    prometheusRules: named(definitions, 'prometheusrules.monitoring.coreos.com'),
    token: target.lab !== undefined || target.tokenKey !== undefined,
    promtool: target.lab !== undefined,
  }
}
