/** G9: what a Sidecar lets proxies know must hold whatever their configuration names. */
import type { KubernetesObject } from '@oms/lab/kubectl'
import { objectsIn } from '../files.ts'
import type { Tree } from '../manifests.ts'
import { idOf, ofKind } from '../objects.ts'
import { inTree, type Rule } from '../rule.ts'

const DNS = 'kube-system/kube-dns.kube-system.svc.cluster.local'

/** What must be among the hosts, and why. */
const NEEDED: readonly {
  readonly host: string
  readonly why: string
  readonly namespaces?: readonly string[]
}[] = [
  { host: './*', why: 'the services of its own namespace' },
  {
    host: 'jaeger/*',
    why: 'the provider of traces: a listener that names an unknown cluster is refused',
  },
  { host: DNS, why: 'DNS over TCP, which REGISTRY_ONLY cuts otherwise' },
  {
    host: 'istio-egress/*',
    why: 'the way to the card processor',
    namespaces: ['order-management'],
  },
]

function sidecarsIn({ files }: Tree): readonly { path: string; sidecar: KubernetesObject }[] {
  return [...files].flatMap(([path, file]) =>
    ofKind({ objects: objectsIn(file) }, 'Sidecar').map((sidecar) => ({ path, sidecar })),
  )
}

export const sidecarRules: readonly Rule[] = [
  inTree({
    gate: 'G9',
    name: 'every Sidecar knows the providers, its neighbours, DNS and the egress gateway',
    why: 'What a Sidecar leaves out does not exist for its proxies. Without the provider of traces every listener is refused: the old configuration lives on, and a new pod is never Ready.',
    mend: 'Add the host to spec.egress[].hosts.',
    subjects: ({ files }) =>
      [...files].flatMap(([path, file]) =>
        ofKind({ objects: objectsIn(file) }, 'Sidecar').flatMap((sidecar) =>
          NEEDED.filter(
            ({ namespaces }) => namespaces?.includes(sidecar.metadata.namespace as string) ?? true,
          ).map((needed) => ({ path, sidecar, needed })),
        ),
      ),
    wrong({ path, sidecar, needed: { host, why } }) {
      const hosts: readonly string[] = (sidecar['spec'].egress ?? []).flatMap(
        (egress: { hosts: string[] }) => egress.hosts,
      )
      return hosts.includes(host) || sidecar['spec'].egress === undefined
        ? []
        : [{ where: path, what: `${idOf(sidecar)}: spec.egress[].hosts lacks ${host}: ${why}` }]
    },
  }),
  inTree({
    gate: 'G9',
    name: 'no Sidecar knows a whole other namespace without need',
    why: 'With `*/*` or `~/*` every proxy holds the whole mesh, or nothing at all: tenants see each other’s hosts, istiod pushes everything to everyone.',
    mend: './*, and the namespaces that are called.',
    subjects: sidecarsIn,
    wrong({ path, sidecar }) {
      const hosts: readonly string[] = (sidecar['spec'].egress ?? []).flatMap(
        (egress: { hosts: string[] }) => egress.hosts,
      )
      return hosts
        .filter((host) => host.startsWith('*/') || host.startsWith('~/'))
        .map((host) => ({ where: path, what: `${idOf(sidecar)}: spec.egress[].hosts has ${host}` }))
    },
  }),
  inTree({
    gate: 'G9',
    name: 'no Sidecar opens what the mesh closes',
    why: 'Its outboundTrafficPolicy wins over the mesh’s REGISTRY_ONLY: with ALLOW_ANY its pods go out past the egress gateway.',
    mend: 'Remove spec.outboundTrafficPolicy.',
    subjects: sidecarsIn,
    wrong: ({ path, sidecar }) =>
      sidecar['spec'].outboundTrafficPolicy === undefined
        ? []
        : [{ where: path, what: `${idOf(sidecar)}: spec.outboundTrafficPolicy is there` }],
  }),
]
