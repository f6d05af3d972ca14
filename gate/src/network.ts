/** NetworkPolicies, worked out: who may open a connection to whom, as an engine that enforces them would decide. */
import type { KubernetesObject } from '@oms/lab/kubectl'
import type { ManifestSet } from './manifests.ts'
import { ofKind, type Selector, selects } from './objects.ts'

/** One end of a connection: pods of the set, or what others bring (istiod, the cluster's DNS). */
interface End {
  readonly id: string
  readonly namespace: string
  readonly labels: Readonly<Record<string, string>>
}

export const ISTIOD: End = { id: 'istiod', namespace: 'istio-system', labels: { app: 'istiod' } }
export const DNS: End = { id: 'DNS', namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } }
/** By way of an address block. */
export const INTERNET: End = { id: 'the internet', namespace: '', labels: {} }
/** Nobody's pod: whatever is open to it is open to everyone. */
export const STRANGER: End = {
  id: 'a pod of another namespace',
  namespace: 'oms-probe',
  labels: {},
}

interface Peer {
  readonly namespaceSelector?: Selector
  readonly podSelector?: Selector
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] }
}

export interface Entry {
  readonly from?: readonly Peer[]
  readonly to?: readonly Peer[]
  readonly ports?: readonly { readonly port?: number | string; readonly protocol?: string }[]
}

export interface Edge {
  readonly from: End
  readonly to: End
  /** Of the container. */
  readonly port: number
  /** Default: TCP. */
  readonly protocol?: 'TCP' | 'UDP'
}

export function policiesFor(
  set: ManifestSet,
  end: End,
  direction: 'Ingress' | 'Egress',
): readonly KubernetesObject[] {
  return ofKind(set, 'NetworkPolicy').filter(
    ({ metadata, spec }) =>
      metadata.namespace === end.namespace &&
      selects(spec.podSelector, end.labels) &&
      typesOf(spec).includes(direction),
  )
}

/** As the API fills them in. */
function typesOf({ policyTypes, egress }: KubernetesObject['spec']): readonly string[] {
  return policyTypes ?? (egress === undefined ? ['Ingress'] : ['Ingress', 'Egress'])
}

/** None, or an empty list: everyone. */
function admits(peers: readonly Peer[] = [], end: End, policyNamespace: string): boolean {
  if (peers.length === 0) return true
  return peers.some(({ namespaceSelector, podSelector = {}, ipBlock }) => {
    if (ipBlock !== undefined) return end === INTERNET
    const near = namespaceSelector === undefined && end.namespace === policyNamespace
    const named = { 'kubernetes.io/metadata.name': end.namespace }
    const there = near || (namespaceSelector !== undefined && selects(namespaceSelector, named))
    return there && selects(podSelector, end.labels)
  })
}

function hasPort({ ports }: Entry, { port, protocol = 'TCP' }: Edge): boolean {
  return (
    ports === undefined ||
    ports.some(
      (each) =>
        (each.protocol ?? 'TCP') === protocol && (each.port === undefined || each.port === port),
    )
  )
}

/** What the policies of one end say; undefined: none selects it, so that everything is open there. */
export function isOpen(
  set: ManifestSet,
  direction: 'Ingress' | 'Egress',
  edge: Edge,
): boolean | undefined {
  const { from, to } = edge
  const [own, other] = direction === 'Ingress' ? [to, from] : [from, to]
  const policies = policiesFor(set, own, direction)
  if (policies.length === 0) return undefined
  return policies.some(({ metadata, spec }) =>
    ((spec[direction.toLowerCase()] ?? []) as readonly Entry[]).some(
      (entry) =>
        hasPort(entry, edge) &&
        admits(
          direction === 'Ingress' ? entry.from : entry.to,
          other,
          metadata.namespace as string,
        ),
    ),
  )
}
