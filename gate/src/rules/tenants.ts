/** G7: the example of two tenants, which no kustomization lists and which must isolate all the same. */
import type { KubernetesObject } from '@oms/lab/kubectl'
import { objectsIn } from '../files.ts'
import { EXAMPLE } from '../leaves.ts'
import { differences } from '../objects.ts'
import { inTree, type Rule } from '../rule.ts'

const TENANTS = ['tenant-a', 'tenant-b'] as const

function of(namespace: string, podLabels?: object): object {
  const namespaceSelector = { matchLabels: { 'kubernetes.io/metadata.name': namespace } }
  if (podLabels === undefined) return { namespaceSelector }
  return { namespaceSelector, podSelector: { matchLabels: podLabels } }
}

const OWN_PODS = { podSelector: {} }

/** Its own pods, and what every pod of the mesh needs: metrics read, names, configuration, spans. */
const NETWORK = {
  podSelector: {},
  policyTypes: ['Ingress', 'Egress'],
  ingress: [{ from: [OWN_PODS] }, { from: [of('monitoring')], ports: [{ port: 15_020 }] }],
  egress: [
    { to: [OWN_PODS] },
    {
      to: [of('kube-system', { 'k8s-app': 'kube-dns' })],
      ports: [
        { port: 53, protocol: 'UDP' },
        { port: 53, protocol: 'TCP' },
      ],
    },
    { to: [of('istio-system', { app: 'istiod' })], ports: [{ port: 15_012 }] },
    { to: [of('jaeger', { app: 'jaeger' })], ports: [{ port: 9411 }] },
  ],
}

/** Kind → its spec, in each tenant’s namespace. G9 has the Sidecar’s hosts. */
function specsOf(tenant: string): Readonly<Record<string, unknown>> {
  return {
    PeerAuthentication: { mtls: { mode: 'STRICT' } },
    AuthorizationPolicy: {
      action: 'ALLOW',
      rules: [{ from: [{ source: { namespaces: [tenant] } }] }],
    },
    NetworkPolicy: NETWORK,
    ResourceQuota: { hard: { 'requests.cpu': '4', 'requests.memory': '8Gi', pods: '50' } },
  }
}

export const tenantRules: readonly Rule[] = [
  inTree({
    gate: 'G7',
    name: 'every tenant of the example has all that isolates it',
    why: 'A namespace and mTLS isolate nothing: a neighbour’s pod has a certificate of the mesh, too. No cluster runs the example, so that nobody sees it break.',
    mend: 'For each an injected Namespace, and in it PeerAuthentication STRICT, an AuthorizationPolicy for itself alone, Sidecar, NetworkPolicy both ways, ResourceQuota, as in gate/src/rules/tenants.ts.',
    subjects: () => TENANTS,
    wrong(tenant, { files }) {
      const file = files.get(EXAMPLE)
      const objects = file === undefined ? [] : objectsIn(file)
      const [namespace] = objects.filter(
        ({ kind, metadata }) => kind === 'Namespace' && metadata.name === tenant,
      )
      const specOf = (kind: string): KubernetesObject['spec'] =>
        objects.find((object) => object.kind === kind && object.metadata.namespace === tenant)?.[
          'spec'
        ]
      return [
        ...differences(
          'Namespace istio-injection',
          namespace?.metadata.labels?.['istio-injection'],
          'enabled',
        ),
        ...Object.entries(specsOf(tenant)).flatMap(([kind, spec]) =>
          differences(kind, specOf(kind), spec),
        ),
        ...(specOf('Sidecar') === undefined ? ['Sidecar is missing'] : []),
      ].map((what) => ({ where: EXAMPLE, what: `${tenant}: ${what}` }))
    },
  }),
]
