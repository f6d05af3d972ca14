/** G6: what is tried again, and what the edges of the mesh take away. */
import { ORDER_MANAGEMENT } from '@oms/e2e/authz-matrix'
import { differences } from '../objects.ts'
import { type PlacedRoute, type Route, routesOf } from '../routes.ts'
import { inSets, type Rule } from '../rule.ts'

const INSIDE = `.${ORDER_MANAGEMENT}.svc.cluster.local`

/** What never reached the application. */
export const SAFE = 'connect-failure,refused-stream'
/** What may be done twice: also a try that was cut and an answer 503. */
export const IDEMPOTENT = `${SAFE},reset,retriable-status-codes,503`

/** Its answers may come twice by contract, whatever the method. */
const ALWAYS_IDEMPOTENT = `inventory-service${INSIDE}`

function isIdempotent({ match = [], route = [] }: Route): boolean {
  const keyed = match.every(
    ({ method, headers = {} }) =>
      method?.exact === 'GET' || headers['idempotency-key'] !== undefined,
  )
  return (
    (match.length > 0 && keyed) ||
    route.every(({ destination: { host } }) => host === ALWAYS_IDEMPOTENT)
  )
}

function isOfIngress({ service: { spec } }: PlacedRoute): boolean {
  return spec.gateways?.includes('istio-ingress/orders-gateway') ?? false
}

function leavesTheMesh({ service: { spec }, route: { route = [] } }: PlacedRoute): boolean {
  return (
    spec.gateways?.some((gateway: string) => gateway.startsWith('istio-egress/')) &&
    route.some(({ destination: { host } }) => !host.endsWith('.svc.cluster.local'))
  )
}

export const retryRules: readonly Rule[] = [
  inSets({
    gate: 'G6',
    name: 'every route to a service says how often it is tried again',
    why: 'A route that says nothing has two retries of Istio’s own choice; attempts does not count the first try.',
    mend: `retries: {attempts: 2, retryOn: "${SAFE}"}`,
    subjects: (set) =>
      routesOf(set).filter(
        ({ route }) =>
          route.route?.some(({ destination }) => destination.host.endsWith(INSIDE)) &&
          route.fault === undefined,
      ),
    wrong: ({ id, route: { retries, timeout } }) => [
      ...(retries?.attempts === undefined ? [`${id}.retries.attempts is missing`] : []),
      ...(retries?.retryOn === undefined ? [`${id}.retries.retryOn is missing`] : []),
      ...(timeout === undefined ? [`${id}.timeout is missing: Envoy waits for ever`] : []),
    ],
  }),
  inSets({
    gate: 'G6',
    name: 'a retry is for what never arrived, or for what may be done twice',
    why: '5xx also retries a 500, which is a bug and fails again; `reset` alone misses a crash, which the server’s proxy answers as 503; after a space the rest is ignored.',
    mend: `"${SAFE}", or where the request may be done twice "${IDEMPOTENT}"`,
    subjects: (set) =>
      routesOf(set).filter(
        ({ route }) => route.retries?.retryOn !== undefined && route.fault === undefined,
      ),
    wrong: ({ id, route: { retries } }) =>
      [SAFE, IDEMPOTENT].includes(retries?.retryOn as string)
        ? []
        : [`${id}.retries.retryOn is ${JSON.stringify(retries?.retryOn)}`],
  }),
  inSets({
    gate: 'G6',
    name: 'what is retried after it may have been done is a GET or has a key',
    why: 'Envoy does not look at the method: a POST without a key that is sent twice charges twice.',
    mend: 'Match GET, or POST with the header idempotency-key; a second route for the rest retries only what never arrived.',
    subjects: (set) =>
      routesOf(set).filter(({ route }) => route.retries?.retryOn?.includes('reset')),
    wrong: ({ id, route }) =>
      isIdempotent(route) ? [] : [`${id}.match also has requests without idempotency-key`],
  }),
  inSets({
    gate: 'G6',
    name: 'a try that may be repeated has a limit of its own',
    why: 'Without perTryTimeout one slow pod uses up the whole time, and there is no second try.',
    mend: 'retries.perTryTimeout, above the time in which the service answers.',
    subjects: (set) =>
      routesOf(set).filter(({ route }) => route.retries?.retryOn?.includes('reset')),
    wrong: ({ id, route: { retries } }) =>
      retries?.perTryTimeout === undefined ? [`${id}.retries.perTryTimeout is missing`] : [],
  }),
  inSets({
    gate: 'G6',
    name: 'the ingress takes away what only the mesh may say',
    why: 'A client that sets x-order-id or x-request-deadline-ms writes into traces and deadlines; x-tenant-id must not be removed here, for the verified one would go, too.',
    mend: 'headers: {request: {remove: [x-order-id, x-request-deadline-ms]}} on every route of the gateway.',
    subjects: (set) => routesOf(set).filter(isOfIngress),
    wrong: ({ id, route: { headers } }) =>
      differences(`${id}.headers.request.remove`, headers?.request?.remove, [
        'x-order-id',
        'x-request-deadline-ms',
      ]),
  }),
  inSets({
    gate: 'G6',
    name: 'the ingress leads to the public paths only',
    why: 'A route without `uri` also leads to /internal, which then only a policy refuses; /api/v1/orders without its slash also matches /api/v1/orders-of-others.',
    mend: 'Match `exact: /api/v1/orders` and `prefix: /api/v1/orders/`.',
    subjects: (set) => routesOf(set).filter(isOfIngress),
    wrong({ id, route }) {
      const { match = [] } = route
      if (match.length === 0) return [`${id}.match is missing`]
      return match
        .filter(
          ({ uri }) =>
            !(
              uri?.exact?.startsWith('/api/v1/') ||
              (uri?.prefix?.startsWith('/api/v1/') && uri.prefix.endsWith('/'))
            ),
        )
        .map(({ uri }) => `${id}.match has ${JSON.stringify(uri)}`)
    },
  }),
  inSets({
    gate: 'G6',
    name: 'nobody outside hears who called inside',
    why: 'An egress gateway passes x-forwarded-client-cert on: the account and namespace of the caller, to a third party.',
    mend: 'headers: {request: {remove: [x-forwarded-client-cert, x-envoy-attempt-count]}} on its route.',
    subjects: (set) => routesOf(set).filter(leavesTheMesh),
    wrong: ({ id, route: { headers } }) =>
      differences(`${id}.headers.request.remove`, headers?.request?.remove, [
        'x-forwarded-client-cert',
        'x-envoy-attempt-count',
      ]),
  }),
]
