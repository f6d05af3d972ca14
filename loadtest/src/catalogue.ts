/** Every scenario: what arrives, what breaks, what must be seen, and what would be seen without a protection. */
import { addRoutes, GATEWAY_ROUTES, withCanary } from '@oms/proofs/cluster/canary'
import { binomialBounds } from '@oms/proofs/cluster/measure'
import type { Mesh } from '@oms/proofs/cluster/mesh'
import { OM, PAYMENT_ROUTES, SYSTEM } from '@oms/proofs/cluster/names'
import { podsOf } from '@oms/proofs/cluster/pods'
import { quickInserts, slowInserts, stockThatEnds, stockWithoutEnd } from './database.ts'
import {
  applications,
  cardProcessorAway,
  INVENTORY_RETRIES,
  inTurn,
  istiodRestarts,
  killPod,
  ORDER_TO_PAYMENT,
  PAYMENT_LIMITS,
  patched,
  postgresRestarts,
  removed,
  rollOut,
  scale,
  withEnvironment,
} from './faults.ts'
import { goodputPastThePeak } from './overload.ts'
import type { Load, OrderLine } from './plan.ts'
import type { Profile } from './profiles.ts'
import { PROFILES } from './profiles.ts'
import type { Action, Scenario } from './scenario.ts'
import { LIMITED_STOCK, supplyLimitedPrint } from './stock.ts'

const MOKA_POT: OrderLine = { sku: 'MOKA-POT', quantity: 1 }
const APPROVED = ['pm_approve0001']
/** More than a patient client needs; it ends by its patience. */
const UNTIL_KNOWN = 100

/** @param share of the profile's rate. */
function load(profile: Profile, share: number, more: Partial<Load> = {}): Load {
  const rate = (times: number): number => Math.max(1, Math.round(profile.rate * share * times))
  const [first] = profile.stages
  return {
    tenant: 'acme',
    journeys: { place: 14, read: 3, replay: 2, cancel: 1 },
    lines: [MOKA_POT],
    tokens: APPROVED,
    // One long ramp begins at its foot.
    startRate: rate(profile.stages.length > 1 ? (first?.times ?? 1) : 1),
    stages: profile.stages.map(({ seconds, times }) => ({ seconds, rate: rate(times) })),
    asks: UNTIL_KNOWN,
    takesNo: false,
    ...more,
  }
}

/** Two tenants of a shop, one with most of the orders. @param share of the profile's rate. */
const shop =
  (more: Partial<Load> = {}, share = 1) =>
  (profile: Profile): Readonly<Record<string, Load>> => ({
    acme: load(profile, 0.8 * share, more),
    globex: load(profile, 0.2 * share, { ...more, tenant: 'globex' }),
  })

const withoutRetries = {
  what: 'no retries of payments',
  remove: patched(PAYMENT_ROUTES, [
    { op: 'replace', path: '/spec/http/0/retries', value: { attempts: 0 } },
  ]),
}

const withoutDrain = {
  what: 'order-service stops listening the moment it is told to end',
  remove: withEnvironment('order-service', { DRAIN_DELAY_MS: '0' }),
  breaks: ['asks_failed'],
}

export const CATALOGUE: readonly Scenario[] = [
  {
    name: 'baseline',
    line: 'nothing breaks: every order has its verdict at once, at one try each',
    needs: 'api',
    loads: shop({ tokens: [...Array(19).fill('pm_approve0001'), 'pm_decline0001'] }),
    thresholds: {
      orders_at_once: ['rate>=0.99'],
      asks_shed: ['rate==0'],
      asks_failed: ['rate==0'],
      asks_per_order: ['avg<1.02'],
    },
    signals: {
      'order.tries_per_request': { max: 1.1 },
      'payment.tries_per_request': { max: 1.1 },
      'inventory.tries_per_request': { max: 1.1 },
      'payment.ejections': { max: 0 },
    },
    protections: {
      'allow-order-to-payment': {
        what: 'no policy lets order-service call payment-service',
        remove: removed(ORDER_TO_PAYMENT),
        breaks: ['orders_at_once'],
      },
    },
    see: {
      jaeger:
        'one tree an order: gateway, order-service, inventory-service, payment-service, each once',
      prometheus: 'envoy_cluster_upstream_rq_retry stays where it was',
      logs: 'one request line a service and order, attempt 1',
      why: 'what the other scenarios are compared with',
    },
  },
  {
    name: 'payment-503',
    line: 'the first of four tries of every payment is answered 503: the mesh asks again, nobody notices',
    needs: 'cluster',
    loads: shop(),
    fault: applications(
      'payment-service answers the first try of every request with 503',
      'service=payment-service;status=503;attempts=1',
    ),
    thresholds: { orders_at_once: ['rate>=0.99'], asks_failed: ['rate==0'] },
    signals: { 'payment.tries_per_request': { min: 1.9, max: 2.2 } },
    protections: { retries: { ...withoutRetries, breaks: ['orders_at_once'] } },
    see: {
      jaeger:
        'two client spans of order-service’s proxy for a payment, the first with http.status_code 503',
      prometheus:
        'envoy_cluster_upstream_rq_retry grows by one a payment, upstream_rq_retry_success with it',
      logs: 'payment-service: status 503 with attempt 1, then 201 with attempt 2, of one order_id',
      why: 'VirtualService payment-service-retry: three more tries after a 503, for requests with a key',
    },
  },
  {
    name: 'payment-slow',
    line: 'the first try of every payment takes 12 s: it is cut after 2 s, the second one is quick',
    needs: 'cluster',
    loads: shop(),
    fault: applications(
      'payment-service answers the first try of every request after 12 s',
      'service=payment-service;late=12000;attempts=1',
    ),
    thresholds: { orders_at_once: ['rate>=0.99'], asks_failed: ['rate==0'] },
    signals: { 'payment.tries_per_request': { min: 1.5, max: 2.2 } },
    protections: {
      'try-limit': {
        what: 'a try of a payment has no limit of its own',
        remove: patched(PAYMENT_ROUTES, [
          { op: 'remove', path: '/spec/http/0/retries/perTryTimeout' },
        ]),
        breaks: ['orders_at_once'],
      },
    },
    see: {
      jaeger: 'a first try of 2 s with response_flags UT, a second one of milliseconds',
      prometheus: 'envoy_cluster_upstream_rq_per_try_timeout grows by one a payment',
      logs: 'payment-service: aborted true with attempt 1, and attempt 2 with the same order_id',
      why: 'VirtualService payment-service-retry: perTryTimeout 2s; the second try finds the row that the first one wrote, and charges nothing',
    },
  },
  {
    name: 'answers-lost',
    line: 'payments and orders are done and their answers lost: whoever asks again has the same key, one charge',
    needs: 'cluster',
    loads: shop(),
    fault: applications(
      'the first answer of every payment is lost, and every third answer to a client',
      'service=payment-service;drop=after;attempts=1\nservice=order-service;drop=after;share=30',
    ),
    thresholds: { orders_confirmed: ['rate>=0.99'], asks_per_order: ['avg>1.05', 'avg<1.6'] },
    signals: { 'payment.tries_per_request': { min: 1.7, max: 2.4 } },
    protections: {
      'same-key': {
        what: 'the client takes a new key when it asks again',
        client: 'new-key',
        breaks: ['orders placed twice'],
      },
      retries: { ...withoutRetries, breaks: ['payment.tries_per_request'] },
    },
    see: {
      jaeger:
        'two tries of a payment, both with a server span that says 201; the client’s second ask with its own tree',
      prometheus: 'envoy_cluster_upstream_rq_retry grows; upstream_rq_503 does at the gateway',
      logs: 'payment-service: aborted true with attempt 1, then idempotent replay with attempt 2',
      why: 'the key is the order’s id: a second request finds the first one’s row',
    },
  },
  {
    name: 'sick-replica',
    line: 'one of two payment pods answers 503: it is left out after five, the other one carries on',
    needs: 'cluster',
    loads: shop(),
    fault: applications('one pod of payment-service answers everything with 503', async (mesh) => {
      const { pod } = await mesh.onePod('payment-service')
      return `pod=${pod.metadata.name};status=503`
    }),
    thresholds: { orders_at_once: ['rate>=0.99'], asks_failed: ['rate==0'] },
    signals: {
      'payment.ejections': { min: 1 },
      'payment.tries_per_request': { max: 1.3 },
    },
    protections: {
      ejection: {
        what: 'no pod of payment-service is ever left out',
        remove: patched(PAYMENT_LIMITS, [
          { op: 'remove', path: '/spec/trafficPolicy/outlierDetection' },
        ]),
        breaks: ['payment.ejections', 'payment.tries_per_request'],
      },
    },
    see: {
      jaeger: 'traces with two tries of a payment, all of the first seconds',
      prometheus: 'envoy_cluster_outlier_detection_ejections_active is 1 for the callers',
      logs: 'the sick pod: status 503, about five a caller, then nothing for 30 s',
      why: 'DestinationRule payment-service-circuit-breaker: consecutive5xxErrors 5, baseEjectionTime 30s, at most half',
    },
  },
  {
    name: 'pool-overflow',
    line: 'a caller may have two payments under way, and needs more: the rest is refused at once, and done later',
    needs: 'cluster',
    loads: shop(),
    prepare: patched(PAYMENT_LIMITS, [
      { op: 'replace', path: '/spec/trafficPolicy/connectionPool/tcp/maxConnections', value: 2 },
      {
        op: 'replace',
        path: '/spec/trafficPolicy/connectionPool/http/http1MaxPendingRequests',
        value: 1,
      },
    ]),
    fault: applications('payment-service takes 700 ms', 'service=payment-service;delay=700'),
    thresholds: { orders_taken: ['rate>=0.95'], orders_confirmed: ['rate>=0.99'] },
    signals: { 'payment.overflows': { min: 1 } },
    protections: {
      pool: {
        what: 'the pool has the size of the manifests, 100 and 50',
        remove: async () => undefined,
        skipsPrepare: true,
        breaks: ['payment.overflows'],
      },
    },
    see: {
      jaeger: 'payments with response_flags UO and no server span',
      prometheus: 'envoy_cluster_upstream_rq_pending_overflow grows',
      logs: 'order-service: 202 and a state payment_unknown; payment-service has no line of those tries',
      why: 'DestinationRule: connectionPool. A full pool answers at once instead of waiting; the order goes on later',
    },
  },
  {
    name: 'inventory-slow',
    line: 'the first try of every reservation takes 3 s: it is cut after 0.9 s, the second one is quick',
    needs: 'cluster',
    loads: shop(),
    fault: applications(
      'inventory-service answers the first try of every request after 3 s',
      'service=inventory-service;late=3000;attempts=1',
    ),
    thresholds: { orders_at_once: ['rate>=0.99'], asks_failed: ['rate==0'] },
    signals: { 'inventory.tries_per_request': { min: 1.5, max: 2.1 } },
    protections: {
      'try-limit': {
        what: 'a try of a reservation has no limit of its own',
        remove: patched(INVENTORY_RETRIES, [
          { op: 'remove', path: '/spec/http/0/retries/perTryTimeout' },
        ]),
        breaks: ['orders_at_once'],
      },
    },
    see: {
      jaeger: 'a first try of 0.9 s with response_flags UT',
      prometheus: 'envoy_cluster_upstream_rq_per_try_timeout of inventory-service',
      logs: 'inventory-service: aborted true with attempt 1, then attempt 2',
      why: 'VirtualService inventory-service-retry: perTryTimeout 900ms, one more try, 2 s in all',
    },
  },
  {
    name: 'processor-down',
    line: 'the card processor is away: orders are accepted, wait, and are charged once when it is back',
    needs: 'cluster',
    // Each waits 6 s for a verdict of the processor, and so does who asks again; the gateway lets a hundred wait.
    loads: shop({}, 0.5),
    fault: cardProcessorAway,
    thresholds: { orders_taken: ['rate>=0.99'], orders_confirmed: ['rate>=0.99'] },
    signals: {},
    protections: {
      'answer-before-timeout': {
        what: 'the gateway waits 500 ms, less than order-service needs to say 202',
        remove: patched(GATEWAY_ROUTES, [
          { op: 'replace', path: '/spec/http/1/timeout', value: '500ms' },
        ]),
        breaks: ['orders_taken'],
      },
    },
    see: {
      jaeger: 'payment-service’s call to psp.example.com with 503 from the egress gateway',
      prometheus: 'orders_unfinished{state="payment_unknown"} grows, and falls after the fault',
      logs: 'order-service: 202; later, of the same order_id, the transition to confirmed',
      why: 'the order is stored before anything is asked of others; whoever sweeps asks again with the same key. At twice the load the hundred requests that the gateway lets wait are full, and a quarter of first asks is refused (UO)',
    },
  },
  {
    name: 'bad-canary',
    line: 'a canary with a tenth of the orders answers 503: a tenth of the first asks fails, no order does',
    needs: 'cluster',
    loads: shop({ journeys: { place: 1 } }),
    prepare: async (mesh) => {
      await withCanary(mesh)
      await addRoutes(mesh)
    },
    fault: applications('the canary of order-service answers everything with 503', async (mesh) => {
      const [pod] = await podsOf(mesh.api, OM, 'app=order-service,version=canary')
      return `pod=${pod?.metadata.name};status=503`
    }),
    thresholds: { orders_confirmed: ['rate>=0.99'], asks_per_order: ['avg<1.3'] },
    signals: {},
    judge: ({ orders, window }) => {
      const during = orders.filter(({ at }) => at >= window.from && at < window.to)
      const failed = during.filter(({ asks }) => (asks[0]?.status ?? 0) >= 500).length
      const { least, most } = binomialBounds(during.length, 0.1)
      return [
        {
          name: 'first asks that met the canary',
          expected: `${least} to ${most} of ${during.length}`,
          seen: String(failed),
          holds: failed >= least && failed <= most,
        },
      ]
    },
    protections: {
      weights: {
        what: 'the canary gets half of the orders',
        remove: (mesh) => canaryWeight(50)(mesh),
        breaks: ['first asks that met the canary'],
      },
    },
    see: {
      jaeger: 'failed traces whose order-service span says app.version canary',
      prometheus: 'envoy_cluster_upstream_rq_503 of the cluster outbound|8080|canary|order-service',
      logs: 'the canary: status 503; the stable pods: the second ask of the same key',
      why: 'VirtualService order-service-canary: weight 10; the key makes it safe to ask again',
    },
  },
  {
    name: 'pod-kill',
    line: 'a payment pod is killed with payments under way, again and again: the mesh asks the other one',
    needs: 'cluster',
    loads: shop(),
    fault: applications(
      'one pod of payment-service is killed (137) by every fifth request that reaches it',
      async (mesh) => {
        const { pod } = await mesh.onePod('payment-service')
        return `pod=${pod.metadata.name};share=20;exit=137\nservice=payment-service;delay=400`
      },
    ),
    thresholds: { orders_at_once: ['rate>=0.98'], orders_confirmed: ['rate>=0.99'] },
    signals: { 'payment.retries': { min: 1 } },
    protections: { retries: { ...withoutRetries, breaks: ['payment.retries'] } },
    see: {
      jaeger: 'two tries of a payment, the first with response_flags UC or UF',
      prometheus:
        'envoy_cluster_upstream_cx_destroy_remote_with_active_rq; the container’s restarts',
      logs: 'the other pod: attempt 2 of an order_id whose attempt 1 has no line',
      why: 'VirtualService payment-service-retry: reset and connect-failure; the charge resumes by its key',
    },
  },
  {
    name: 'rolling-update',
    line: 'order-service and payment-service are replaced while orders flow: no request fails',
    needs: 'cluster',
    loads: shop(),
    fault: {
      what: 'order-service and payment-service roll out',
      begin: inTurn(
        0,
        (mesh) => rollOut(mesh, 'order-service'),
        (mesh) => rollOut(mesh, 'payment-service'),
      ),
    },
    thresholds: { asks_failed: ['rate==0'], orders_at_once: ['rate>=0.99'] },
    signals: {},
    protections: {
      drain: withoutDrain,
    },
    see: {
      jaeger: 'no trace with an error',
      prometheus: 'envoy_cluster_membership_change of order-service and payment-service',
      logs: 'each old pod: requests for 5 s after it was told to end, then drained',
      why: 'readiness, maxUnavailable 0, and 5 s in which an ending pod serves on until every proxy knows',
    },
  },
  {
    name: 'istiod-restart',
    line: 'every istiod restarts: requests do not notice',
    needs: 'cluster',
    loads: shop(),
    fault: { what: 'every pod of istiod is killed', begin: istiodRestarts },
    thresholds: { asks_failed: ['rate==0'], orders_at_once: ['rate>=0.99'] },
    signals: { 'payment.tries_per_request': { max: 1.1 } },
    protections: {
      'istiod-comes-back': {
        what: 'istiod stays away, and a payment pod is replaced',
        fault: {
          what: 'istiod stays away, and all pods of payment-service are killed',
          begin: inTurn(
            0,
            (mesh) => scale(mesh, 0, 'istiod', SYSTEM),
            (mesh) => killPod(mesh, 'payment-service'),
            (mesh) => killPod(mesh, 'payment-service'),
          ),
        },
        breaks: ['orders_at_once'],
      },
    },
    see: {
      jaeger: 'traces as ever',
      prometheus: 'envoy_control_plane_connected_state falls to 0 and comes back',
      logs: 'the proxies: StreamAggregatedResources gRPC config stream closed',
      why: 'proxies keep what they were told; what is new waits for istiod',
    },
  },
  {
    name: 'postgres-restart',
    line: 'PostgreSQL restarts: nothing is accepted meanwhile, nothing accepted is lost, clients ask again',
    needs: 'cluster',
    loads: shop(),
    fault: { what: 'postgres-0 restarts', begin: postgresRestarts },
    thresholds: { orders_confirmed: ['rate>=0.99'] },
    signals: {},
    protections: {
      'asks-again': {
        what: 'the client asks once',
        client: 'asks-once',
        breaks: ['orders_open'],
      },
    },
    see: {
      jaeger: 'order-service spans with 503 and no child',
      prometheus: 'envoy_cluster_upstream_rq_503 of order-service at the gateway',
      logs: 'order-service: unavailable, not_executed or unknown; then the same order_id again',
      why: 'a commit is acknowledged after it is on the disk; who has no answer asks with the same key',
    },
  },
  {
    name: 'hot-sku',
    line: `everybody wants the same print, and there are ${LIMITED_STOCK}: so many are sold, the others are told no`,
    needs: 'api',
    loads: shop({
      lines: [{ sku: 'LIMITED-PRINT', quantity: 1 }],
      tenant: 'acme',
      journeys: { place: 9, replay: 1 },
    }),
    prepareTarget: supplyLimitedPrint,
    thresholds: { orders_at_once: ['rate>=0.99'], asks_failed: ['rate==0'] },
    signals: {},
    judge: ({ orders }) => {
      const ended = (end: string): number =>
        orders.filter((order) => order.tenant === 'acme' && order.end === end).length
      const wanted = orders.filter(({ tenant }) => tenant === 'acme').length
      const sold = ended('confirmed')
      return [
        {
          name: 'prints sold',
          expected: String(Math.min(wanted, LIMITED_STOCK)),
          seen: `${sold}, and ${ended('refused')} of ${wanted} refused`,
          holds: sold === Math.min(wanted, LIMITED_STOCK) && sold + ended('refused') === wanted,
        },
      ]
    },
    protections: {
      'stock-check': {
        what: 'neither the statement that takes stock looks how much is left, nor the table',
        remove: stockWithoutEnd,
        restore: stockThatEnds,
        breaks: ['prints sold', 'audit after'],
      },
    },
    see: {
      jaeger: 'inventory-service spans with 409 once the last one is gone',
      prometheus: 'order_transitions_total{to="rejected"}',
      logs: 'inventory-service: 409 out-of-stock',
      why: 'one statement takes the stock and the reservation; a refusal is final and costs no charge',
    },
  },
  {
    name: 'noisy-tenant',
    line: 'one tenant places ten times its quota: it is refused, the other one does not notice',
    needs: 'cluster',
    loads: (profile) => ({
      quiet: load(profile, 0.2, { tenant: 'globex' }),
      noisy: load(profile, 6, { takesNo: true, journeys: { place: 1 } }),
    }),
    prepare: withEnvironment('order-service', { TENANT_ORDERS_PER_SECOND: '3' }),
    thresholds: {
      'orders_at_once{scenario:quiet}': ['rate>=0.99'],
      'asks_shed{scenario:quiet}': ['rate<=0.01'],
      'asks_shed{scenario:noisy}': ['rate>=0.5'],
    },
    signals: { 'order.tries_per_request': { max: 1.1 }, 'order.ejections': { max: 0 } },
    protections: {
      quota: {
        what: 'the quota is 200 orders a second and replica',
        remove: async () => undefined,
        skipsPrepare: true,
        breaks: ['asks_shed{scenario:noisy}'],
      },
    },
    see: {
      jaeger: 'spans of the noisy tenant with 429 and no child',
      prometheus: 'envoy_cluster_upstream_rq_429 of order-service at the gateway',
      logs: 'order-service: 429 tenant-quota, of one tenant_id only',
      why: 'the quota stands before the queue; 429 is neither retried by the mesh nor counted against a pod',
    },
  },
  {
    name: 'retry-storm',
    line: 'payment-service is sick as a whole: a budget keeps the mesh from asking four times as much',
    needs: 'cluster',
    loads: shop(),
    fault: applications(
      'payment-service answers everything with 503, after a second',
      'service=payment-service;delay=1000;status=503',
    ),
    // Clients ask again while their orders wait: past a hundred requests under way the gateway refuses some (UO).
    thresholds: { orders_taken: ['rate>=0.9'], orders_confirmed: ['rate>=0.99'] },
    signals: {
      'payment.tries_per_request': { max: 2.2 },
      'payment.retries_refused': { min: 1 },
    },
    protections: {
      'retry-budget': {
        what: 'no budget of retries',
        remove: patched(PAYMENT_LIMITS, [
          { op: 'remove', path: '/spec/trafficPolicy/retryBudget' },
        ]),
        breaks: ['payment.retries_refused'],
      },
    },
    see: {
      jaeger: 'payments with one try most of the time, where there are four without a budget',
      prometheus: 'envoy_cluster_upstream_rq_retry_overflow grows',
      logs: 'payment-service: attempt 1 mostly',
      why: 'DestinationRule: retryBudget 20 % of what is under way, and three',
    },
  },
  {
    name: 'overload',
    line: 'ten times what the database can do: what is done stays as much as at the peak, the rest is told to wait',
    needs: 'cluster',
    profile: PROFILES.overload,
    loads: (profile) => ({ acme: load(profile, 1, { takesNo: true, journeys: { place: 1 } }) }),
    prepare: async (mesh) => {
      await slowInserts(DELAY_MS)(mesh)
      await withEnvironment('order-service', { POOL_SIZE: '8', CONCURRENCY_LIMIT: '10' })(mesh)
    },
    restore: quickInserts,
    thresholds: {},
    signals: {
      'order.tries_per_request': { max: 1.1 },
      'payment.tries_per_request': { max: 1.1 },
      'order.ejections': { max: 0 },
    },
    judge: goodputPastThePeak,
    protections: {
      limiter: {
        what: 'order-service takes whatever comes',
        remove: withEnvironment('order-service', { POOL_SIZE: '8', CONCURRENCY_LIMIT: '100000' }),
        breaks: ['goodput from 5 s after the load', 'orders_open'],
      },
    },
    see: {
      jaeger: 'spans of order-service with 429 and no child, beside whole trees',
      prometheus:
        'envoy_cluster_upstream_rq_429 at the gateway; envoy_cluster_upstream_rq_201 stays level',
      logs: 'order-service: 429 overloaded within 150 ms',
      why: 'a bounded, aged, newest-first queue before the work; 429 is neither retried by the mesh nor counted against a pod',
    },
  },
  {
    name: 'rollouts',
    line: 'a dozen rollouts, and a canary from nothing to all and back, while orders flow: no request fails',
    needs: 'cluster',
    profile: PROFILES.rollouts,
    loads: (profile) => ({
      ...shop()(profile),
      // What a shop does most: looking.
      lists: load(profile, 5.5, { journeys: { list: 1 } }),
    }),
    prepare: async (mesh) => {
      await withCanary(mesh)
      await addRoutes(mesh)
      await canaryWeight(0)(mesh)
    },
    fault: {
      what: 'twelve rollouts; the canary gets 10, 50, 100 of a hundred, and nothing again',
      begin: inTurn(
        0,
        ...[10, 50, 100, 0].flatMap((weight) => [
          canaryWeight(weight),
          (mesh: Mesh) => rollOut(mesh, 'order-service'),
          (mesh: Mesh) => rollOut(mesh, 'payment-service'),
          (mesh: Mesh) => rollOut(mesh, 'inventory-service'),
        ]),
      ),
    },
    thresholds: {
      asks_failed: ['rate==0'],
      http_req_failed: ['rate==0'],
      http_reqs: ['count>=20000'],
    },
    signals: {},
    protections: {
      drain: withoutDrain,
    },
    see: {
      jaeger: 'no trace with an error; app.version canary in a share of them',
      prometheus: 'envoy_cluster_membership_change of every service',
      logs: 'each old pod: requests for 5 s after it was told to end',
      why: 'readiness, maxUnavailable 0, the drain delay, native sidecars that end last; weights move without a restart',
    },
  },
]

/**
 * Of the two pools' sixteen connections: 20 orders a second at most. Two requests more than connections are under way, so
 * that an order that is accepted never waits long for the connection that writes its end.
 */
const DELAY_MS = 800

function canaryWeight(weight: number): Action {
  return patched(GATEWAY_ROUTES, [
    { op: 'replace', path: '/spec/http/2/route/0/weight', value: 100 - weight },
    { op: 'replace', path: '/spec/http/2/route/1/weight', value: weight },
  ])
}

export function scenarioOf(name: string): Scenario | undefined {
  return CATALOGUE.find((scenario) => scenario.name === name)
}

export const DEFAULT_PROFILE = PROFILES.average
