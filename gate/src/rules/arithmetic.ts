/** G8: numbers in different places that must fit each other. */
import { ORDER_MANAGEMENT } from '@oms/e2e/authz-matrix'
import type { ManifestSet } from '../manifests.ts'
import {
  findObject,
  hasDatabase,
  idOf,
  ofKind,
  type Pods,
  podsOf,
  podsSelected,
  variablesOf,
} from '../objects.ts'
import { type PlacedRoute, routesOf } from '../routes.ts'
import { inSets, type Rule } from '../rule.ts'
import { leastReplicas, mostReplicas } from '../scale.ts'

/** The applications' own, docs/resilience.md. */
export const ORDER_ANSWERS_MS = 10_500
export const PAYMENT_ANSWERS_MS = 1700
export const INVENTORY_ANSWERS_MS = 800
export const HARD_STOP_MS = 25_000

/** The most that Envoy waits before each retry: 25 ms, doubled, at most 250 ms. */
const BACK_OFF_MS = [25, 75, 175, 250] as const

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const

function msOf(duration: string): number {
  const [, amount, unit] = /^([\d.]+)(ms|s|m|h)$/.exec(duration) ?? []
  return Number(amount) * UNITS[unit as keyof typeof UNITS]
}

/** A fault switches off what these rules are about. */
function faultlessRoutes(set: ManifestSet): readonly PlacedRoute[] {
  return routesOf(set).filter(({ route }) => route.fault === undefined)
}

const hostOf = (name: string): string => `${name}.${ORDER_MANAGEMENT}.svc.cluster.local`

function leadsTo({ route }: PlacedRoute, name: string): boolean {
  return route.route?.some(({ destination }) => destination.host === hostOf(name)) ?? false
}

/** Whoever answers, and when at the latest. */
const ANSWERS: readonly { readonly service: string; readonly ms: number }[] = [
  { service: 'order-service', ms: ORDER_ANSWERS_MS },
  { service: 'payment-service', ms: PAYMENT_ANSWERS_MS },
  { service: 'inventory-service', ms: INVENTORY_ANSWERS_MS },
]

function podsOfSubset(set: ManifestSet, host: string, subset: string | undefined): readonly Pods[] {
  const [name = '', namespace] = host.split('.')
  const service = findObject(set, `Service ${namespace}/${name}`)
  const declared = ofKind(set, 'DestinationRule')
    .filter(({ spec }) => spec.host === host)
    .flatMap(
      ({ spec }) =>
        (spec.subsets ?? []) as readonly { name: string; labels: Record<string, string> }[],
    )
    .find((each) => each.name === subset)
  const matchLabels = { ...service?.['spec'].selector, ...declared?.labels }
  return podsSelected(podsOf(set), namespace, { matchLabels }).filter(
    ({ owner }) => owner['spec'].replicas !== 0,
  )
}

/** Bytes of a Quantity. */
function bytesOf(quantity: string): number {
  const [, amount, unit = ''] = /^(\d+)(Ki|Mi|Gi)?$/.exec(quantity) ?? []
  return Number(amount) * 1024 ** ['', 'Ki', 'Mi', 'Gi'].indexOf(unit)
}

/** The applications' own, unless they are told otherwise. */
const POOL_SIZE = 10

/** Connections to the database that one pod holds. */
function poolOf(pods: Pods): number {
  if (!hasDatabase(pods)) return 0
  const told = variablesOf(pods).find(({ name }) => name === 'POOL_SIZE')
  return Number(told?.value ?? POOL_SIZE)
}

export const arithmeticRules: readonly Rule[] = [
  inSets({
    gate: 'G8',
    name: 'all tries and the pauses between them fit into the timeout',
    why: 'The timeout cuts whatever is under way: a try that does not fit is made and thrown away.',
    mend: 'timeout ≥ (attempts + 1) × perTryTimeout + back-off; attempts does not count the first try.',
    subjects: (set) =>
      faultlessRoutes(set).filter(
        ({ route }) => route.retries?.perTryTimeout !== undefined && route.timeout !== undefined,
      ),
    wrong({ id, route: { timeout = '', retries } }) {
      const { attempts = 0, perTryTimeout = '' } = retries ?? {}
      const pauses = BACK_OFF_MS.slice(0, attempts).reduce((sum, ms) => sum + ms, 0)
      const needed = (attempts + 1) * msOf(perTryTimeout) + pauses
      return msOf(timeout) >= needed
        ? []
        : [
            `${id}.timeout is ${timeout}; ${attempts + 1} tries of ${perTryTimeout} and pauses take ${needed} ms`,
          ]
    },
  }),
  inSets({
    gate: 'G8',
    name: 'whoever waits, waits longer than the answer takes',
    why: 'A timeout below the service’s own limit cuts an answer that was on its way, and nobody knows what became of the request.',
    mend: 'Above 10.5 s to order-service, 1.7 s to payment-service, 0.8 s to inventory-service (docs/resilience.md).',
    subjects: (set) =>
      faultlessRoutes(set).flatMap((route) =>
        ANSWERS.filter(({ service }) => leadsTo(route, service)).map((answer) => ({
          ...route,
          answer,
        })),
      ),
    wrong({ id, route: { timeout, retries }, answer: { service, ms } }) {
      const limits = { timeout, 'retries.perTryTimeout': retries?.perTryTimeout }
      return Object.entries(limits)
        .filter(([, value]) => value !== undefined && msOf(value) <= ms)
        .map(([field, value]) => `${id}.${field} is ${value}; ${service} answers within ${ms} ms`)
    },
  }),
  inSets({
    gate: 'G8',
    name: 'the outer timeout is above the inner one',
    why: 'When the ingress gives up before the order’s call to payment has, the order goes on alone and the client asks again.',
    mend: 'Order’s route at the gateway > 10.5 s > payment’s route ≥ its tries.',
    subjects: (set) => faultlessRoutes(set).filter((route) => leadsTo(route, 'payment-service')),
    wrong({ id, route }, set) {
      const inner = route.timeout ?? '0s'
      const outer = faultlessRoutes(set)
        .filter((each) => leadsTo(each, 'order-service'))
        .map((each) => each.route.timeout ?? '0s')
      return [
        ...(msOf(inner) < ORDER_ANSWERS_MS
          ? []
          : [
              `${id}.timeout is ${inner}; order-service itself answers within ${ORDER_ANSWERS_MS} ms`,
            ]),
        ...outer
          .filter((each) => msOf(each) <= msOf(inner))
          .map((each) => `${id}.timeout is ${inner}, the gateway’s to order-service is ${each}`),
      ]
    },
  }),
  inSets({
    gate: 'G8',
    name: 'weights make a hundred',
    why: 'The webhook accepts any sum, and the shares are not what they say.',
    mend: 'Let the weights of a route add up to 100.',
    subjects: (set) => faultlessRoutes(set).filter(({ route }) => (route.route?.length ?? 0) > 1),
    wrong({ id, route: { route = [] } }) {
      const sum = route.reduce((all, { weight = 0 }) => all + weight, 0)
      return sum === 100
        ? []
        : [
            `${id}.route: the weights ${route.map(({ weight = 0 }) => weight).join(' + ')} make ${sum}`,
          ]
    },
  }),
  inSets({
    gate: 'G8',
    name: 'whatever gets requests has pods',
    why: 'An empty subset answers its share with 503 (flag UH): a canary route without its pods breaks one order in ten.',
    mend: 'Weight 0, or the component canary/workload in the overlay of the apps.',
    subjects: (set) =>
      faultlessRoutes(set).flatMap(({ id, route: { route = [] } }) =>
        route
          .filter(
            ({ weight = 100, destination }) =>
              weight > 0 && destination.host.endsWith(`.${ORDER_MANAGEMENT}.svc.cluster.local`),
          )
          .map(({ destination, weight = 100 }) => ({ id, destination, weight })),
      ),
    wrong: ({ id, destination: { host, subset }, weight }, set) =>
      podsOfSubset(set, host, subset).length > 0
        ? []
        : [
            `${id}: weight ${weight} goes to ${host}${subset ? `, subset ${subset}` : ''}, which has no pods`,
          ],
  }),
  inSets({
    gate: 'G8',
    name: 'of payment’s pods one can be ejected',
    why: 'At most maxEjectionPercent of the hosts are kept out, rounded down: of one pod none, however sick it is.',
    mend: 'minReplicas of at least 2 with 50 %.',
    subjects: (set) =>
      ofKind(set, 'DestinationRule').filter(({ spec }) => spec.host === hostOf('payment-service')),
    wrong(rule, set) {
      const [pods] = podsOfSubset(set, hostOf('payment-service'), undefined)
      const least = pods === undefined ? 0 : leastReplicas(set, pods)
      const percent = rule['spec'].trafficPolicy?.outlierDetection?.maxEjectionPercent ?? 10
      return Math.floor((least * percent) / 100) >= 1
        ? []
        : [`${idOf(rule)}: maxEjectionPercent ${percent} of ${least} pods is less than one`]
    },
  }),
  inSets({
    gate: 'G8',
    name: 'a service admits more than one caller may send',
    why: 'The limits of a DestinationRule also hold at the server, for all callers together, unless the Sidecar says more.',
    mend: 'spec.inboundConnectionPool of the Sidecar, several times the limits of the DestinationRules.',
    subjects: (set) =>
      ofKind(set, 'DestinationRule').filter(({ spec }) =>
        spec.host.endsWith(`.${ORDER_MANAGEMENT}.svc.cluster.local`),
      ),
    wrong(rule, set) {
      const { tcp = {}, http = {} } = rule['spec'].trafficPolicy?.connectionPool ?? {}
      const inbound = findObject(set, `Sidecar ${ORDER_MANAGEMENT}/default`)?.['spec']
        .inboundConnectionPool
      const pairs = {
        'tcp.maxConnections': [tcp.maxConnections, inbound?.tcp?.maxConnections],
        'http.http2MaxRequests': [http.http2MaxRequests, inbound?.http?.http2MaxRequests],
        'http.http1MaxPendingRequests': [
          http.http1MaxPendingRequests,
          inbound?.http?.http1MaxPendingRequests,
        ],
      }
      return Object.entries(pairs)
        .filter(([, [out, into]]) => !(into >= 2 * out))
        .map(
          ([field, [out, into]]) =>
            `${idOf(rule)}: ${field} is ${out}; the Sidecar’s inboundConnectionPool has ${into ?? 'none'}`,
        )
    },
  }),
  inSets({
    gate: 'G8',
    name: 'a pod has time to end',
    why: 'An application serves on for 5 s and stops by itself within 25 s: a shorter grace kills it with requests under way.',
    mend: 'terminationGracePeriodSeconds: 30 or more; a gateway 60, above the longest route.',
    subjects: (set) =>
      podsOf(set).filter(
        ({ namespace, owner }) =>
          [ORDER_MANAGEMENT, 'istio-ingress', 'istio-egress'].includes(namespace) &&
          owner.kind === 'Deployment',
      ),
    wrong({ id, spec, namespace }) {
      const grace = spec.terminationGracePeriodSeconds ?? 30
      const needed = namespace === ORDER_MANAGEMENT ? HARD_STOP_MS : 4 * 12_000
      return grace * 1000 > needed
        ? []
        : [`${id}: terminationGracePeriodSeconds is ${grace}, it needs more than ${needed / 1000}`]
    },
  }),
  inSets({
    gate: 'G8',
    name: 'a scaler may go up, and a budget leaves a pod to take',
    why: 'maxReplicas below minReplicas is refused; a budget that allows no disruption stops every drain of a node.',
    mend: 'minReplicas ≤ maxReplicas; maxUnavailable: 1.',
    subjects: (set) => ofKind(set, 'HorizontalPodAutoscaler', 'PodDisruptionBudget'),
    wrong(object) {
      const { minReplicas, maxReplicas, maxUnavailable } = object['spec']
      if (object.kind === 'PodDisruptionBudget')
        return maxUnavailable === 1
          ? []
          : [`${idOf(object)}: spec.maxUnavailable is ${maxUnavailable ?? 'missing'}, not 1`]
      return minReplicas <= maxReplicas
        ? []
        : [`${idOf(object)}: minReplicas ${minReplicas}, maxReplicas ${maxReplicas}`]
    },
  }),
  inSets({
    gate: 'G8',
    name: 'istiod’s memory alert comes before the limit',
    why: 'At the limit the kernel ends it: an alert above it never fires.',
    mend: 'The number in IstiodHighMemory below spec.values.pilot.resources.limits.memory.',
    subjects: (set) =>
      ofKind(set, 'PrometheusRule').flatMap(({ spec }) =>
        spec.groups.flatMap((group: { rules: { alert: string; expr: string }[] }) =>
          group.rules.filter(({ alert }) => alert === 'IstiodHighMemory'),
        ),
      ),
    wrong({ expr }: { expr: string }, set) {
      const threshold = Number(/>\s*([\d.e]+)\s*$/.exec(expr)?.[1])
      const limit =
        findObject(set, 'Istio default')?.['spec'].values.pilot.resources?.limits?.memory ?? '0'
      return threshold < bytesOf(limit)
        ? []
        : [`PrometheusRule: IstiodHighMemory fires above ${threshold}, the limit is ${limit}`]
    },
  }),
  inSets({
    gate: 'G8',
    name: 'PostgreSQL has a connection for every pool',
    why: 'At the most replicas, each one more while it rolls out, pools are opened at the start: who finds none never gets ready.',
    mend: 'max_connections in apps/postgres/postgresql.conf above the pods times their pools.',
    subjects: (set, { files }) => {
      const conf = files.get('apps/postgres/postgresql.conf')?.text ?? ''
      const connections = Number(/^max_connections = (\d+)$/m.exec(conf)?.[1])
      const pods = podsOf(set).filter(({ owner }) => owner.kind === 'Deployment')
      const needed = pods.map((each) => mostReplicas(set, each) * poolOf(each))
      return [{ connections, needed: needed.reduce((sum, each) => sum + each, 0) }]
    },
    wrong: ({ connections, needed }) =>
      connections > needed
        ? []
        : [
            `postgresql.conf: max_connections is ${connections}; the services’ pools take ${needed}`,
          ],
  }),
]
