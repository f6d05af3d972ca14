/** G7: whatever one resource says of another is there, and is said once. */
import type { KubernetesObject } from '@oms/lab/kubectl'
import { objectsIn } from '../files.ts'
import type { ManifestSet, Tree } from '../manifests.ts'
import {
  fieldsNamed,
  findObject,
  idOf,
  ofKind,
  type Pods,
  podsOf,
  podsSelected,
  type Selector,
} from '../objects.ts'
import { inSets, type Rule } from '../rule.ts'

const ROOT_NAMESPACE = 'istio-system'

/** Made by the control plane's charts, not by a manifest. */
const OUTSIDE: readonly Pick<Pods, 'id' | 'namespace' | 'labels'>[] = [
  { id: 'istiod', namespace: 'istio-system', labels: { app: 'istiod', istio: 'pilot' } },
]

/** Host → ports, of every Service and ServiceEntry. */
function hostsOf(set: ManifestSet): ReadonlyMap<string, readonly number[]> {
  const services = ofKind(set, 'Service').map(
    ({ metadata, spec }) =>
      [
        `${metadata.name}.${metadata.namespace}.svc.cluster.local`,
        spec.ports.map(({ port }: { port: number }) => port),
      ] as const,
  )
  const entries = ofKind(set, 'ServiceEntry').flatMap(({ spec }) =>
    spec.hosts.map(
      (host: string) => [host, spec.ports.map(({ number }: { number: number }) => number)] as const,
    ),
  )
  return new Map([...services, ...entries])
}

interface Destination {
  readonly host: string
  readonly subset?: string
  readonly port?: { readonly number: number }
}

interface Aim {
  readonly id: string
  readonly destination: Destination
}

function destinationsOf(set: ManifestSet): readonly Aim[] {
  return ofKind(set, 'VirtualService').flatMap((service) =>
    fieldsNamed('destination', service['spec'], 'spec').map(({ path, value }) => ({
      id: `${idOf(service)}: ${path}`,
      destination: value,
    })),
  )
}

/** Those of components, too: a subset is of pods that an overlay may add. */
function everyPod({ files }: Tree): readonly Pods[] {
  return podsOf({ objects: [...files.values()].flatMap(objectsIn) })
}

function rulesFor(set: ManifestSet, host: string): readonly KubernetesObject[] {
  return ofKind(set, 'DestinationRule').filter(({ spec }) => spec.host === host)
}

interface Selecting {
  readonly id: string
  readonly namespace: string | undefined
  readonly selector: Selector
}

/** Where each kind has its selector. */
const SELECTORS: Readonly<
  Record<string, (spec: KubernetesObject['spec']) => Selector | undefined>
> = {
  AuthorizationPolicy: ({ selector }) => selector,
  PeerAuthentication: ({ selector }) => selector,
  RequestAuthentication: ({ selector }) => selector,
  Telemetry: ({ selector }) => selector,
  Sidecar: ({ workloadSelector }) => workloadSelector && { matchLabels: workloadSelector.labels },
  Gateway: ({ selector }) => selector && { matchLabels: selector },
  NetworkPolicy: ({ podSelector }) => podSelector,
  PodDisruptionBudget: ({ selector }) => selector,
}

function selectingOf(set: ManifestSet): readonly Selecting[] {
  return Object.entries(SELECTORS).flatMap(([kind, selectorOf]) =>
    ofKind(set, kind).flatMap((object) => {
      const selector = selectorOf(object['spec'] ?? {})
      const { namespace } = object.metadata
      return selector === undefined ? [] : [{ id: idOf(object), namespace, selector }]
    }),
  )
}

/** Of resources that go by namespace where they have no selector, and of which the oldest wins. */
const ONE_EACH = ['Telemetry', 'Sidecar', 'PeerAuthentication'] as const

/** Istio's own, of Envoy's standard output. */
const BUILT_IN_PROVIDERS = ['envoy'] as const

function providersOf(set: ManifestSet): readonly { readonly name: string }[] {
  return findObject(set, 'Istio default')?.['spec'].values.meshConfig.extensionProviders ?? []
}

export const referenceRules: readonly Rule[] = [
  inSets({
    gate: 'G7',
    name: 'every route leads to a Service that is there',
    why: 'The webhook accepts any name: Envoy has no such cluster and answers 503 (flag NC). A short name means another Service in another namespace.',
    mend: 'The full name, <service>.<namespace>.svc.cluster.local, and a port of it.',
    subjects: destinationsOf,
    wrong({ id, destination: { host, port } }, set) {
      const ports = hostsOf(set).get(host)
      if (ports === undefined) return [`${id}.host is ${host}: no Service or ServiceEntry`]
      if (port === undefined)
        return ports.length === 1 ? [] : [`${id}.port is missing: ${host} has ${ports.length}`]
      return ports.includes(port.number)
        ? []
        : [`${id}.port.number is ${port.number}: ${host} has ${ports.join()}`]
    },
  }),
  inSets({
    gate: 'G7',
    name: 'every DestinationRule is about a host that is there',
    why: 'A rule for a host with a typo is accepted and does nothing: no limits, no ejection.',
    mend: 'The full name of a Service, the host of a ServiceEntry, or *.<namespace>.svc.cluster.local.',
    subjects: (set) => ofKind(set, 'DestinationRule'),
    wrong(rule, set) {
      const { host } = rule['spec']
      const hosts = [...hostsOf(set).keys()]
      const found = host.startsWith('*.')
        ? hosts.some((each) => each.endsWith(host.slice(1)))
        : hosts.includes(host)
      return found ? [] : [`${idOf(rule)}: spec.host is ${host}: no Service or ServiceEntry`]
    },
  }),
  inSets({
    gate: 'G7',
    name: 'every subset that a route names is declared',
    why: 'A subset that no DestinationRule of that host declares is no cluster: 503, flag NC.',
    mend: 'spec.subsets of the host’s own DestinationRule.',
    subjects: (set) =>
      destinationsOf(set).filter(({ destination }) => destination.subset !== undefined),
    wrong: ({ id, destination: { host, subset } }, set) =>
      rulesFor(set, host).some(({ spec: { subsets = [] } }) =>
        subsets.some(({ name }: { name: string }) => name === subset),
      )
        ? []
        : [`${id}.subset is ${subset}: no DestinationRule for ${host} declares it`],
  }),
  inSets({
    gate: 'G7',
    name: 'every subset has the labels of some Deployment',
    why: 'A subset whose labels no pod has is empty: its share of the requests is 503, flag UH.',
    mend: 'The label `version` that the pods have: stable, or canary of apps/order-service-canary.',
    subjects: (set) =>
      ofKind(set, 'DestinationRule').flatMap((rule) =>
        (
          (rule['spec'].subsets ?? []) as readonly {
            name: string
            labels: Record<string, string>
          }[]
        ).map((subset) => ({ rule, subset })),
      ),
    wrong({ rule, subset: { name, labels } }, set, tree) {
      const [service] = ofKind(set, 'Service').filter(
        ({ metadata, spec }) => spec.selector && rule['spec'].host.startsWith(`${metadata.name}.`),
      )
      const matchLabels = { ...service?.['spec'].selector, ...labels }
      return podsSelected(everyPod(tree), rule.metadata.namespace, { matchLabels }).length > 0
        ? []
        : [
            `${idOf(rule)}: subset ${name} has the labels ${JSON.stringify(labels)}: no pod has them`,
          ]
    },
  }),
  inSets({
    gate: 'G7',
    name: 'no two DestinationRules are about one host',
    why: 'The older wins, silently; the other one’s limits are not there.',
    mend: 'Delete one.',
    subjects: (set) => ofKind(set, 'DestinationRule'),
    wrong: (rule, set) =>
      rulesFor(set, rule['spec'].host)
        .filter((other) => other !== rule)
        .map((other) => `${idOf(rule)}: spec.host is ${rule['spec'].host}, as in ${idOf(other)}`),
  }),
  inSets({
    gate: 'G7',
    name: 'a DestinationRule stands in the namespace of its host',
    why: 'A rule in the client’s namespace shadows the owner’s for that client alone.',
    mend: 'Move it to the namespace of the Service.',
    subjects: (set) =>
      ofKind(set, 'DestinationRule').filter(
        ({ spec, metadata }) =>
          spec.host.endsWith('.svc.cluster.local') && !isOurEgress(spec.host, metadata.namespace),
      ),
    wrong(rule) {
      const owner = rule['spec'].host.split('.')[1]
      return rule.metadata.namespace === owner
        ? []
        : [`${idOf(rule)}: spec.host is of the namespace ${owner}`]
    },
  }),
  inSets({
    gate: 'G7',
    name: 'each host has one VirtualService',
    why: 'Two for one host of the mesh do not merge: the older wins; at a gateway they merge in no promised order.',
    mend: 'Put the routes into one resource.',
    subjects: (set) => ofKind(set, 'VirtualService'),
    wrong: (service, set) =>
      ofKind(set, 'VirtualService')
        .filter((other) => other !== service)
        .flatMap((other) =>
          service['spec'].hosts
            .filter((host: string) => other['spec'].hosts.includes(host))
            .map((host: string) => `${idOf(service)}: spec.hosts has ${host}, as ${idOf(other)}`),
        ),
  }),
  inSets({
    gate: 'G7',
    name: 'every VirtualService names gateways that are there and admit its hosts',
    why: 'Without `gateways` it is the mesh’s only and the ingress answers 404; a Gateway that is not there, or not for this host, binds nothing.',
    mend: 'gateways: [<namespace>/<name>], and hosts: [<namespace>/<host>] in that Gateway. A name that no Service has is not reached in the mesh.',
    subjects: (set) => ofKind(set, 'VirtualService'),
    wrong(service, set) {
      const { hosts, gateways = ['mesh'] } = service['spec'] as {
        hosts: string[]
        gateways?: string[]
      }
      const inMesh = gateways.includes('mesh')
      const unknown = inMesh ? hosts.filter((host) => !hostsOf(set).has(host)) : []
      return [
        ...unknown.map(
          (host) =>
            `${idOf(service)}: spec.hosts has ${host}, which is no Service; spec.gateways is ${gateways.join()}`,
        ),
        ...gateways
          .filter((name) => name !== 'mesh')
          .flatMap((name) => {
            const gateway = findObject(set, `Gateway ${name}`)
            if (gateway === undefined)
              return [`${idOf(service)}: spec.gateways has ${name}, which is not there`]
            const admitted: readonly string[] = gateway['spec'].servers.flatMap(
              (server: { hosts: string[] }) => server.hosts,
            )
            return hosts
              .filter((host) => !admitted.includes(`${service.metadata.namespace}/${host}`))
              .map(
                (host) =>
                  `${idOf(service)}: spec.hosts has ${host}, which ${idOf(gateway)} does not admit from ${service.metadata.namespace}`,
              )
          }),
      ]
    },
  }),
  inSets({
    gate: 'G7',
    name: 'every Gateway listens on a port of its Service',
    why: 'A port that the Service does not have is never reached; istiod opens no listener for it.',
    mend: 'The Service’s own port number (443), not the container’s.',
    subjects: (set) => ofKind(set, 'Gateway'),
    wrong(gateway, set) {
      const services = ofKind(set, 'Service').filter(
        ({ metadata, spec }) =>
          metadata.namespace === gateway.metadata.namespace &&
          JSON.stringify(spec.selector) === JSON.stringify(gateway['spec'].selector),
      )
      const ports = services.flatMap(({ spec }) =>
        spec.ports.map(({ port }: { port: number }) => port),
      )
      return (gateway['spec'].servers as readonly { port: { number: number } }[])
        .filter(({ port }) => !ports.includes(port.number))
        .map(
          ({ port }) =>
            `${idOf(gateway)}: spec.servers has the port ${port.number}, its Service has ${ports.join() || 'none'}`,
        )
    },
  }),
  inSets({
    gate: 'G7',
    name: 'every selector selects pods of its namespace',
    why: 'A policy that selects nothing is accepted and guards nothing.',
    mend: 'The pods’ own label, and the namespace where they run.',
    subjects: selectingOf,
    wrong({ id, namespace, selector }, set) {
      const { matchLabels = {}, matchExpressions = [] } = selector
      if (Object.keys(matchLabels).length === 0 && matchExpressions.length === 0) return []
      return podsSelected([...podsOf(set), ...(OUTSIDE as readonly Pods[])], namespace, selector)
        .length > 0
        ? []
        : [`${id}: its selector ${JSON.stringify(selector)} selects no pods in ${namespace}`]
    },
  }),
  inSets({
    gate: 'G7',
    name: 'every principal is an account that is there',
    why: 'A principal with a typo allows nobody, and the one that was meant gets 403.',
    mend: 'cluster.local/ns/<namespace>/sa/<ServiceAccount>',
    subjects: (set) =>
      ofKind(set, 'AuthorizationPolicy').flatMap((policy) =>
        fieldsNamed('principals', policy['spec'], 'spec').flatMap(({ path, value }) =>
          value.map((principal: string) => ({ policy, path, principal })),
        ),
      ),
    wrong({ policy, path, principal }, set) {
      const [, namespace, account] =
        /^cluster\.local\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(principal) ?? []
      return findObject(set, `ServiceAccount ${namespace}/${account}`) === undefined
        ? [`${idOf(policy)}: ${path} has ${principal}, which is no account`]
        : []
    },
  }),
  inSets({
    gate: 'G7',
    name: 'every namespace that a policy admits is there',
    why: 'A namespace with a typo admits nobody.',
    mend: 'The name of a Namespace of these manifests.',
    subjects: (set) =>
      ofKind(set, 'AuthorizationPolicy').flatMap((policy) =>
        fieldsNamed('namespaces', policy['spec'], 'spec').flatMap(({ path, value }) =>
          value.map((namespace: string) => ({ policy, path, namespace })),
        ),
      ),
    wrong: ({ policy, path, namespace }, set) =>
      findObject(set, `Namespace ${namespace}`) === undefined
        ? [`${idOf(policy)}: ${path} has ${namespace}, which is not there`]
        : [],
  }),
  inSets({
    gate: 'G7',
    name: 'every object stands in a namespace that is there',
    why: 'It is refused when it is applied, or waits for ever in Argo CD.',
    mend: 'Add the Namespace, or mend the name.',
    subjects: (set) => set.objects.filter(({ metadata }) => metadata.namespace !== undefined),
    wrong: (object, set) =>
      findObject(set, `Namespace ${object.metadata.namespace}`) === undefined
        ? [`${idOf(object)}: metadata.namespace is not there`]
        : [],
  }),
  inSets({
    gate: 'G7',
    name: 'every provider that a Telemetry names is declared',
    why: 'The webhook accepts any name, and there are no traces, without a word.',
    mend: 'Its name in spec.values.meshConfig.extensionProviders of istio.yaml.',
    subjects: (set) =>
      ofKind(set, 'Telemetry').flatMap((telemetry) =>
        fieldsNamed('providers', telemetry['spec'], 'spec').flatMap(({ path, value }) =>
          value.map(({ name }: { name: string }) => ({ telemetry, path, name })),
        ),
      ),
    wrong({ telemetry, path, name }, set) {
      const known: readonly string[] = [
        ...BUILT_IN_PROVIDERS,
        ...providersOf(set).map((each) => each.name),
      ]
      return known.includes(name)
        ? []
        : [`${idOf(telemetry)}: ${path} has ${name}; there are ${known.join(', ')}`]
    },
  }),
  inSets({
    gate: 'G7',
    name: 'every provider is a Service that is there',
    why: 'istiod drops a provider whose Service it does not know: no traces, and only its log says so.',
    mend: 'The full name of the Service and one of its ports.',
    subjects: providersOf,
    wrong(provider, set) {
      const [{ service, port }] = Object.values(provider).filter(
        (value) => typeof value === 'object',
      ) as unknown as [{ service: string; port: number }]
      return hostsOf(set).get(service)?.includes(port) === true
        ? []
        : [`Istio default: the provider ${provider.name} is ${service}:${port}: no such port`]
    },
  }),
  inSets({
    gate: 'G7',
    name: 'of what goes by namespace there is one in each',
    why: 'Of two Telemetry, Sidecar or PeerAuthentication without a selector the older wins, and the newer is ignored.',
    mend: 'Merge them.',
    subjects: (set) =>
      ofKind(set, ...ONE_EACH).filter(({ spec }) => !spec.selector && !spec.workloadSelector),
    wrong: (object, set) =>
      ofKind(set, object.kind)
        .filter(
          ({ metadata, spec }) =>
            metadata.namespace === object.metadata.namespace &&
            metadata.name !== object.metadata.name &&
            !spec.selector &&
            !spec.workloadSelector,
        )
        .map((other) => `${idOf(object)}: ${idOf(other)} has no selector either`),
  }),
  inSets({
    gate: 'G7',
    name: 'what is for the whole mesh stands in the root namespace',
    why: 'In another namespace it holds for that one only.',
    mend: `metadata.namespace: ${ROOT_NAMESPACE}`,
    subjects: () => ['PeerAuthentication', 'AuthorizationPolicy', 'Telemetry'],
    wrong: (kind, set) =>
      ofKind(set, kind).some(
        ({ metadata, spec }) =>
          metadata.namespace === ROOT_NAMESPACE && spec?.selector === undefined,
      )
        ? []
        : [`no ${kind} without a selector stands in ${ROOT_NAMESPACE}`],
  }),
  inSets({
    gate: 'G7',
    name: 'a host that goes out is known to whom it concerns',
    why: 'A VirtualService sends to a ServiceEntry that the gateway’s namespace does not see: 502 at the egress gateway.',
    mend: 'exportTo: [".", <namespace of each gateway that routes to it>]',
    subjects: (set) => ofKind(set, 'ServiceEntry'),
    wrong(entry, set) {
      const { hosts, exportTo = ['*'] } = entry['spec'] as { hosts: string[]; exportTo?: string[] }
      const gateways = ofKind(set, 'VirtualService')
        .filter(({ spec }) => spec.hosts.some((host: string) => hosts.includes(host)))
        .flatMap(({ spec }) => (spec.gateways ?? []) as string[])
      const namespaces = gateways
        .filter((name) => name.includes('/'))
        .map((name) => name.split('/')[0] as string)
      return namespaces
        .filter((namespace) => !exportTo.includes(namespace) && !exportTo.includes('*'))
        .map(
          (namespace) =>
            `${idOf(entry)}: spec.exportTo is ${exportTo.join()}, without ${namespace}`,
        )
    },
  }),
]

/** The rule for how our callers speak to the egress gateway is ours, not the gateway's. */
function isOurEgress(host: string, namespace: string | undefined): boolean {
  return (
    host === 'istio-egressgateway.istio-egress.svc.cluster.local' &&
    namespace === 'order-management'
  )
}
