/** G7: every host, subset and gateway that a route names is there, and one resource speaks for each. */
import type { KubernetesObject } from '@oms/lab/kubectl'
import { objectsIn } from '../files.ts'
import { hostsOf } from '../hosts.ts'
import type { ManifestSet, Tree } from '../manifests.ts'
import {
  fieldsNamed,
  findObject,
  idOf,
  ofKind,
  type Pods,
  podsOf,
  podsSelected,
} from '../objects.ts'
import { type Route, routesOf } from '../routes.ts'
import { inSets, type Rule } from '../rule.ts'

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

/** The rule for how our callers speak to the egress gateway is ours, not the gateway's. */
function isOurEgress(host: string, namespace: string | undefined): boolean {
  return (
    host === 'istio-egressgateway.istio-egress.svc.cluster.local' &&
    namespace === 'order-management'
  )
}

/** None is the mesh itself. */
function gatewaysOf({ spec: { gateways = [] } }: KubernetesObject): readonly string[] {
  return gateways.length === 0 ? ['mesh'] : gateways
}

type Match = NonNullable<Route['match']>[number]

/** Without `match` a route takes every request. */
function takesAll({ match: wide = [{}] }: Route, { match: narrow = [{}] }: Route): boolean {
  return narrow.every((each) => wide.some((other) => includes(other, each)))
}

function includes({ uri, ...wide }: Match, { uri: narrowUri, ...narrow }: Match): boolean {
  const same = Object.entries(wide).every(
    ([field, value]) =>
      JSON.stringify(value) === JSON.stringify(narrow[field as keyof typeof narrow]),
  )
  const path = narrowUri?.exact ?? narrowUri?.prefix
  const isBelow = uri?.prefix !== undefined && path?.startsWith(uri.prefix) === true
  return same && (uri === undefined || isBelow || JSON.stringify(uri) === JSON.stringify(narrowUri))
}

export const hostRules: readonly Rule[] = [
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
      const isSome = Object.keys(labels ?? {}).length > 0
      return isSome &&
        podsSelected(everyPod(tree), rule.metadata.namespace, { matchLabels }).length > 0
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
          spec.host.endsWith('.local') && !isOurEgress(spec.host, metadata.namespace),
      ),
    wrong(rule) {
      const owner = /^[^.]+\.([^.]+)\.svc\.cluster\.local$/.exec(rule['spec'].host)?.[1] ?? 'all'
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
      const { hosts } = service['spec'] as { hosts: string[] }
      const gateways = gatewaysOf(service)
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
  inSets({
    gate: 'G7',
    name: 'no route stands behind one that takes all its requests',
    why: 'The first route that matches wins: what stands behind a wider one is never reached, and looks as if it were.',
    mend: 'The narrower route first: by header before by weight, keyed before the rest.',
    subjects: routesOf,
    wrong({ id, service, route }, set) {
      const all = routesOf(set).filter((each) => each.service === service)
      const before = all.slice(
        0,
        all.findIndex((each) => each.id === id),
      )
      return before
        .filter((earlier) => takesAll(earlier.route, route))
        .map((earlier) => `${id} is never reached: ${earlier.id} takes all its requests`)
    },
  }),
  inSets({
    gate: 'G7',
    name: 'whoever divides requests says among whom',
    why: 'A destination without a subset is every pod of the host: the share of the others is added to its own.',
    mend: 'A subset in each destination of a route that has several.',
    subjects: (set) => routesOf(set).filter(({ route }) => (route.route?.length ?? 0) > 1),
    wrong: ({ id, route }) =>
      (route.route ?? []).flatMap(({ destination }, index) =>
        destination.subset === undefined
          ? [`${id}.route[${index}].destination.subset is missing`]
          : [],
      ),
  }),
]
