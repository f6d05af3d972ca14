/** G6: what each route takes and how long it waits, as docs/resilience.md says; found by its name, for components put others before it. */
import type { KubernetesObject } from '@oms/lab/kubectl'
import { differences, findObject, idOf, ofKind } from '../objects.ts'
import type { Route } from '../routes.ts'
import { inSets, type Rule } from '../rule.ts'
import { IDEMPOTENT, SAFE } from './retries.ts'

interface RoutePin {
  readonly of: string
  /** None: its only one. */
  readonly name?: string
  /** Only these fields are compared. */
  readonly is: Partial<Route>
  readonly why: string
}

const FAST = {
  timeout: '2s',
  retries: { attempts: 1, perTryTimeout: '900ms', retryOn: IDEMPOTENT },
} as const

const ROUTES: readonly RoutePin[] = [
  {
    of: 'VirtualService order-management/payment-service-retry',
    name: 'idempotent',
    is: {
      match: [
        { method: { exact: 'GET' } },
        { method: { exact: 'POST' }, headers: { 'idempotency-key': { regex: '.+' } } },
      ],
      timeout: '10s',
      retries: { attempts: 3, perTryTimeout: '2s', retryOn: IDEMPOTENT },
    },
    why: 'An empty key is none: with a wider match a charge without a key is sent twice. Below 10 s the last try is made and thrown away, above it order-service has answered before.',
  },
  {
    of: 'VirtualService order-management/payment-service-retry',
    name: 'other',
    is: { timeout: '3s', retries: { attempts: 2, retryOn: SAFE } },
    why: 'payment-service answers within 1.7 s: who waits longer than 3 s holds one of the hundred requests of a caller for an answer that does not come.',
  },
  {
    of: 'VirtualService order-management/inventory-service-retry',
    is: FAST,
    why: 'inventory-service answers within 0.8 s, and an order waits for it before it is charged: each second here is one less of its own 10.5 s.',
  },
  {
    of: 'VirtualService order-management/order-service-canary',
    name: 'stock',
    is: { match: [{ uri: { exact: '/api/v1/stock' } }], ...FAST },
    why: 'A prefix also leads to what is not public; another path is answered 404, and only the client sees it.',
  },
  {
    of: 'VirtualService order-management/order-service-canary',
    name: 'weighted',
    is: {
      match: [{ uri: { exact: '/api/v1/orders' } }, { uri: { prefix: '/api/v1/orders/' } }],
      timeout: '12s',
      retries: { attempts: 2, retryOn: SAFE },
    },
    why: 'The prefix does not match the collection, and without its slash matches more than orders. Above 12 s a client hangs on a pod that is gone.',
  },
  {
    of: 'VirtualService order-management/psp-through-egress',
    name: 'to-egress',
    is: {},
    why: 'The access log tells routes apart by their names: the way to the gateway and the way out are of one host.',
  },
  {
    of: 'VirtualService order-management/psp-through-egress',
    name: 'to-psp',
    is: {},
    why: 'The access log tells routes apart by their names: the way to the gateway and the way out are of one host.',
  },
]

function routesNamed(
  { spec: { http = [] } }: KubernetesObject,
  name: string | undefined,
): readonly Route[] {
  return (http as readonly (Route & { name?: string })[]).filter((route) => route.name === name)
}

function pinnedRoute({ of, name, is, why }: RoutePin): Rule {
  const id = `${of}: the route ${name ?? 'without a name'}`
  return inSets({
    gate: 'G6',
    name: `${id} is as docs/resilience.md says`,
    why,
    mend: `Write ${JSON.stringify({ name, ...is })}; another value goes into docs/resilience.md, too.`,
    subjects: (set) => [findObject(set, of)].filter((object) => object !== undefined),
    wrong(object) {
      const [route] = routesNamed(object, name)
      if (route === undefined) return [`${id} is not there`]
      return Object.entries(is).flatMap(([field, value]) =>
        differences(`${id}: ${field}`, route[field as keyof Route], value),
      )
    },
  })
}

export const routePinRules: readonly Rule[] = [
  ...ROUTES.map(pinnedRoute),
  inSets({
    gate: 'G7',
    name: 'every resource of routes is about a host',
    why: 'Without a host it is about nothing: the routes, the limits are not there.',
    mend: 'spec.hosts of a VirtualService, spec.host of a DestinationRule.',
    subjects: (set) => ofKind(set, 'VirtualService', 'DestinationRule'),
    wrong: (object) =>
      object['spec'].host !== undefined || object['spec'].hosts?.length > 0
        ? []
        : [`${idOf(object)}: it has no host`],
  }),
]
