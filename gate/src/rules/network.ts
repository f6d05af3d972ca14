/** G4: NetworkPolicies open what the authorization matrix and the mesh need, and nothing else. */
import { AUTHZ_MATRIX, type AuthzRow, ORDER_MANAGEMENT } from '@oms/e2e/authz-matrix'
import type { ManifestSet } from '../manifests.ts'
import { meshPods } from '../mesh.ts'
import {
  DNS,
  type Edge,
  type Entry,
  INTERNET,
  ISTIOD,
  isOpen,
  policiesFor,
  STRANGER,
} from '../network.ts'
import {
  fieldsNamed,
  hasDatabase,
  idOf,
  ofKind,
  type Pods,
  podsOf,
  podsSelected,
  type Selector,
} from '../objects.ts'
import { inSets, isProduction, type Rule } from '../rule.ts'

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
    { from: end, to: DNS, port: 53, protocol: 'UDP' },
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

function keyOf({ from, to, port, protocol }: Edge): string {
  return `${from.id} → ${to.id}:${port}${protocol === undefined ? '' : `/${protocol}`}`
}

/** Open by design, and not in the matrix: RBAC has no say there. */
function isKnown({ from, to, port }: Edge): boolean {
  return (
    (from.namespace === 'monitoring' && to.labels['app'] === 'jaeger' && port === 16_686) ||
    (to.labels['istio'] === 'ingressgateway' && port === 8443) ||
    (from.namespace === 'istio-egress' && to.namespace === 'card-processor' && port === 8083)
  )
}

/** Every address → those that are not of the internet (RFC 1918, RFC 4193). */
const PRIVATE = {
  '0.0.0.0/0': ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'],
  '::/0': ['fc00::/7'],
} as const

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
      // Thousands of questions, each to all objects that it is given.
      const policies = { ...set, objects: ofKind(set, 'NetworkPolicy') }
      return conceivableEdges(set)
        .filter((edge) => !needed.has(keyOf(edge)) && !isKnown(edge))
        .map((edge) => ({ edge, policies }))
    },
    wrong: ({ edge, policies }) =>
      isOpen(policies, 'Ingress', edge) === true && isOpen(policies, 'Egress', edge) !== false
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
    name: 'the way out does not lead back in',
    why: 'All addresses are also those of pods, nodes and of the network beside them: the gateway would be a way around every other policy.',
    mend: `ipBlock.except: ${PRIVATE['0.0.0.0/0'].join(', ')}; for ::/0 ${PRIVATE['::/0'].join()}.`,
    subjects: (set) =>
      ofKind(set, 'NetworkPolicy').flatMap((policy) =>
        fieldsNamed('ipBlock', policy['spec'], 'spec').map((field) => ({ policy, ...field })),
      ),
    wrong({ policy, path, value: { cidr, except = [] } }) {
      const wanted = PRIVATE[cidr as keyof typeof PRIVATE]
      if (wanted === undefined) return [`${idOf(policy)}: ${path}.cidr is ${cidr ?? 'missing'}`]
      return wanted
        .filter((each) => !except.includes(each))
        .map((each) => `${idOf(policy)}: ${path}.except lacks ${each}`)
    },
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
