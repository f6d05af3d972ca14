/** G4: NetworkPolicies, worked out pod by pod and compared with the authorization matrix. */
import { AUTHZ_MATRIX, type AuthzRow, ORDER_MANAGEMENT } from '@oms/e2e/authz-matrix'
import type { KubernetesObject } from '@oms/lab/kubectl'
import type { ManifestSet } from '../manifests.ts'
import { meshPods } from '../mesh.ts'
import {
  hasDatabase,
  idOf,
  ofKind,
  type Pods,
  podsOf,
  podsSelected,
  type Selector,
  selects,
} from '../objects.ts'
import { inSets, isProduction, type Rule } from '../rule.ts'

/** One end of a connection: pods of the set, or what others bring (istiod, the cluster's DNS). */
interface End {
  readonly id: string
  readonly namespace: string
  readonly labels: Readonly<Record<string, string>>
}

const ISTIOD: End = { id: 'istiod', namespace: 'istio-system', labels: { app: 'istiod' } }
const DNS: End = { id: 'DNS', namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } }
/** By way of an address block. */
const INTERNET: End = { id: 'the internet', namespace: '', labels: {} }
/** Nobody's pod: whatever is open to it is open to everyone. */
const STRANGER: End = { id: 'a pod of another namespace', namespace: 'oms-probe', labels: {} }

interface Peer {
  readonly namespaceSelector?: Selector
  readonly podSelector?: Selector
  readonly ipBlock?: { readonly cidr: string }
}

interface Entry {
  readonly from?: readonly Peer[]
  readonly to?: readonly Peer[]
  readonly ports?: readonly { readonly port?: number | string }[]
}

interface Edge {
  readonly from: End
  readonly to: End
  /** Of the container. */
  readonly port: number
}

function policiesFor(
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

function hasPort({ ports }: Entry, port: number): boolean {
  return ports === undefined || ports.some((each) => each.port === undefined || each.port === port)
}

/** What the policies of one end say; undefined: none selects it, so that everything is open there. */
function isOpen(
  set: ManifestSet,
  direction: 'Ingress' | 'Egress',
  { from, to, port }: Edge,
): boolean | undefined {
  const [own, other] = direction === 'Ingress' ? [to, from] : [from, to]
  const policies = policiesFor(set, own, direction)
  if (policies.length === 0) return undefined
  return policies.some(({ metadata, spec }) =>
    ((spec[direction.toLowerCase()] ?? []) as readonly Entry[]).some(
      (entry) =>
        hasPort(entry, port) &&
        admits(
          direction === 'Ingress' ? entry.from : entry.to,
          other,
          metadata.namespace as string,
        ),
    ),
  )
}

/** 8080 is where the applications listen, 8443 where the gateways do. */
function portsOf({ may = [], callee }: AuthzRow): readonly number[] {
  const ports = may.flatMap((operation) => ('ports' in operation ? operation.ports : []))
  if (ports.length > 0) return ports
  return [callee?.['istio'] === undefined ? 8080 : 8443]
}

/** A Job that borrows an account calls nobody by it but the database. */
function matrixEdges(set: ManifestSet): readonly Edge[] {
  const pods = podsOf(set)
  return AUTHZ_MATRIX.flatMap((row) => {
    const { callee, callers } = row
    if (callee === undefined || callers === 'anyone' || 'issuer' in callers) return []
    const isCaller = (from: Pods, to: Pods): boolean =>
      'namespaces' in callers
        ? callers.namespaces.includes(from.namespace)
        : callers.principals.includes(principalOf(from)) &&
          (hasOwnAccount(from) || (hasDatabase(from) && to.labels['app'] === 'postgres'))
    return podsSelected(pods, row.namespace, { matchLabels: callee }).flatMap((to) =>
      pods
        .filter((from) => isCaller(from, to))
        .flatMap((from) => portsOf(row).map((port) => ({ from, to, port }))),
    )
  })
}

function principalOf({ namespace, account }: Pods): string {
  return `cluster.local/ns/${namespace}/sa/${account}`
}

function hasOwnAccount({ labels, account, namespace }: Pods): boolean {
  return namespace !== ORDER_MANAGEMENT || labels['app'] === account
}

/** What every pod of the mesh needs: names, configuration, a way out for its spans, and to be scraped. */
function meshEdges(set: ManifestSet): readonly Edge[] {
  const pods = podsOf(set)
  const prometheus = pods.filter(({ namespace }) => namespace === 'monitoring')
  const jaeger = pods.filter(({ namespace }) => namespace === 'jaeger')
  const injected = meshPods(set)
  return injected.flatMap((end) => [
    { from: end, to: DNS, port: 53 },
    { from: end, to: ISTIOD, port: 15_012 },
    ...jaeger.filter(({ id }) => id !== end.id).map((to) => ({ from: end, to, port: 9411 })),
    ...prometheus.map((from) => ({ from, to: end, port: 15_020 })),
  ])
}

/** Every pair that some policy guards, on every port that matters. */
function conceivableEdges(set: ManifestSet): readonly Edge[] {
  const ends = podsOf(set)
  return ends.flatMap((to) =>
    [...ends, STRANGER]
      .filter((from) => from.id !== to.id)
      .flatMap((from) =>
        [5432, 8080, 8083, 8443, 9411, 4318, 16_686].map((port) => ({ from, to, port })),
      ),
  )
}

const keyOf = ({ from, to, port }: Edge): string => `${from.id} → ${to.id}:${port}`

/** Open by design, and not in the matrix: RBAC has no say there. */
function isKnown({ from, to, port }: Edge): boolean {
  return (
    (from.namespace === 'monitoring' && to.labels['app'] === 'jaeger' && port === 16_686) ||
    (to.labels['istio'] === 'ingressgateway' && port === 8443) ||
    (from.namespace === 'istio-egress' && to.namespace === 'card-processor' && port === 8083)
  )
}

function isEmpty({ matchLabels = {}, matchExpressions = [] }: Selector): boolean {
  return Object.keys(matchLabels).length === 0 && matchExpressions.length === 0
}

export const networkRules: readonly Rule[] = [
  inSets({
    gate: 'G4',
    name: 'every connection that the matrix or the mesh needs is open at both ends',
    why: 'A NetworkPolicy refuses in silence: the caller’s proxy connects until its time is up (UF), on clusters with an engine, and nowhere else.',
    mend: 'Open it in the egress of the caller’s policy and the ingress of the callee’s, by the container’s port (apps/networkpolicies.yaml).',
    subjects: (set) => [
      // Of the two ports for spans a proxy needs one: meshEdges.
      ...matrixEdges(set).filter(({ to }) => to.namespace !== 'jaeger'),
      ...meshEdges(set),
    ],
    wrong: (edge, set) =>
      (['Egress', 'Ingress'] as const)
        .filter((direction) => isOpen(set, direction, edge) === false)
        .map((direction) => `${keyOf(edge)}: no ${direction} rule of a NetworkPolicy admits it`),
  }),
  inSets({
    gate: 'G4',
    name: 'no connection is open that the matrix does not know',
    why: 'Authorization sees only what passes a sidecar; a pod without one, or its root user, walks around it, and only the network is left.',
    mend: 'Close it in the NetworkPolicies, or add the row to e2e/authz-matrix.ts and its AuthorizationPolicy.',
    subjects(set) {
      const needed = new Set([...matrixEdges(set), ...meshEdges(set)].map(keyOf))
      return conceivableEdges(set).filter((edge) => !needed.has(keyOf(edge)) && !isKnown(edge))
    },
    wrong: (edge, set) =>
      isOpen(set, 'Ingress', edge) === true && isOpen(set, 'Egress', edge) !== false
        ? [`${keyOf(edge)}: the NetworkPolicies admit it`]
        : [],
  }),
  inSets({
    gate: 'G4',
    name: 'every pod of the product is refused by default, both ways',
    why: 'A pod that no policy selects is open to everyone: the policies of the others do not close it.',
    mend: 'NetworkPolicy default-deny: podSelector {}, policyTypes [Ingress, Egress], no rules.',
    subjects: (set) =>
      podsOf(set).filter(({ namespace }) =>
        [ORDER_MANAGEMENT, 'jaeger', 'istio-ingress', 'istio-egress', 'card-processor'].includes(
          namespace,
        ),
      ),
    wrong: (pods, set) =>
      (['Ingress', 'Egress'] as const)
        .filter((direction) => policiesFor(set, pods, direction).length === 0)
        .map((direction) => `${pods.id}: no NetworkPolicy selects its pods for ${direction}`),
  }),
  inSets({
    gate: 'G4',
    name: 'whoever must go out may',
    why: 'istiod, not a proxy, fetches the token keys: with its way out closed every token is refused (401), and nothing in the gateway’s log says why.',
    mend: 'Egress to port 443 in any policy of istio-egressgateway, and of istiod where there is one.',
    sets: isProduction,
    subjects: (set) => [
      ISTIOD,
      ...podsOf(set).filter(({ labels }) => labels['istio'] === 'egressgateway'),
    ],
    wrong: (from, set) =>
      isOpen(set, 'Egress', { from, to: INTERNET, port: 443 }) === false
        ? [`${from.id} → the internet:443: no Egress rule of a NetworkPolicy admits it`]
        : [],
  }),
  inSets({
    gate: 'G4',
    name: 'only the egress gateway reaches the internet',
    why: 'REGISTRY_ONLY and a Sidecar are no firewall: they do not see a raw address or the proxy’s own user.',
    mend: 'No ipBlock in any policy but that of istio-egressgateway (443) and istiod’s, which fetches the token keys.',
    sets: isProduction,
    subjects: (set) => ofKind(set, 'NetworkPolicy'),
    wrong: ({ metadata: { name, namespace = '' }, spec }) =>
      ['istio-egress', 'istio-system'].includes(namespace)
        ? []
        : ((spec.egress ?? []) as readonly Entry[])
            .filter(({ to }) => to === undefined || to.some(({ ipBlock }) => ipBlock !== undefined))
            .map(
              () =>
                `NetworkPolicy ${namespace}/${name}: spec.egress leads to addresses, not to pods`,
            ),
  }),
  inSets({
    gate: 'G4',
    name: 'no rule of a NetworkPolicy is wider than it looks',
    why: 'An entry without ports is every port, one without peers everyone, a selector without labels every namespace or pod.',
    mend: 'Ports, and labels of the namespace and of the pods; only clients of the ingress come from anywhere.',
    subjects: (set) =>
      ofKind(set, 'NetworkPolicy').flatMap((policy) =>
        ['ingress', 'egress'].flatMap((direction) =>
          ((policy['spec'][direction] ?? []) as readonly Entry[]).map((entry, index) => ({
            id: `${idOf(policy)}: spec.${direction}[${index}]`,
            entry,
          })),
        ),
      ),
    wrong({ id, entry: { from, to, ports = [] } }) {
      const peers = from ?? to ?? []
      const selectors = peers.flatMap((peer) => [peer.namespaceSelector, peer.podSelector])
      return [
        ...(ports.length > 0 && ports.every(({ port }) => port !== undefined)
          ? []
          : [`${id}.ports has every port`]),
        ...(peers.length > 0 || id.startsWith('NetworkPolicy istio-ingress/')
          ? []
          : [`${id} has no peers`]),
        ...selectors
          .filter((selector) => selector !== undefined && isEmpty(selector))
          .map(() => `${id} has a selector without labels`),
      ]
    },
  }),
]
