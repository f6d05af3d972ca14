/**
 * The script of every load: `k6 run journeys.ts`, with the plan in PLAN. It writes a line of JSON for each order that a
 * client meant, and at the end one with k6's own verdict on the thresholds.
 */
import exec from 'k6/execution'
import http from 'k6/http'
import { Counter, Rate, Trend } from 'k6/metrics'
import type { Options, Scenario } from 'k6/options'
import type { Journey, Load, Plan, SummaryTold, ThresholdTold } from '../src/plan.ts'
import type { Asked, Intent } from './client.ts'
import { createClient } from './client.ts'
import { bodyIn, verdictOn } from './verdict.ts'

const plan: Plan = JSON.parse(__ENV['PLAN'] ?? '')
const client = createClient(plan)
// Refusals are answers.
http.setResponseCallback(http.expectedStatuses({ min: 200, max: 499 }))

/** Of orders: their first answer was a verdict, or said that they are on their way. */
const taken = new Rate('orders_taken')
/** Of orders: their first answer was a verdict. */
const atOnce = new Rate('orders_at_once')
/** Of orders: confirmed in the end. */
const confirmed = new Rate('orders_confirmed')
/** Orders without a verdict at the end of the client's patience. */
const open = new Counter('orders_open')
/** Answers that nobody could expect: a replay that differs, a request refused as malformed, an order that is not there. */
const wrong = new Counter('answers_wrong')
/** Requests for one order. */
const asks = new Trend('asks_per_order')
/** Of requests: answered 429. */
const shed = new Rate('asks_shed')
/** Of requests: no answer, or one from 500 up. */
const failed = new Rate('asks_failed')
/** Requests that read a list. */
const reads = new Counter('lists_read')
/** Milliseconds of the first answer. */
const firstMs = new Trend('first_answer_ms')

/** VUs are clients that wait, and each arrival needs one that is free: for as many seconds as a fault may keep an order open. */
const VUS_PER_ARRIVAL = 40
/** More are made while the load runs, which takes k6 its time. */
const VUS_AT_ONCE = 500
/** Clients that wait for what a fault keeps open. */
const VUS_AT_MOST = 3000

function scenarioOf({ startRate, stages, callers }: Load): Scenario {
  const gracefulStop = `${plan.patienceSeconds + 20}s`
  const seconds = stages.reduce((sum, stage) => sum + stage.seconds, 0)
  if (callers !== undefined)
    return {
      executor: 'constant-vus',
      vus: callers,
      duration: `${seconds}s`,
      gracefulStop,
      exec: 'arrival',
    }
  const peak = Math.max(startRate, ...stages.map(({ rate }) => rate))
  return {
    executor: 'ramping-arrival-rate',
    startRate,
    timeUnit: '1s',
    stages: stages.map((stage) => ({ duration: `${stage.seconds}s`, target: stage.rate })),
    preAllocatedVUs: Math.min(VUS_AT_ONCE, Math.max(50, Math.ceil(peak * VUS_PER_ARRIVAL))),
    maxVUs: VUS_AT_MOST,
    gracefulStop,
    exec: 'arrival',
  }
}

export const options: Options = {
  scenarios: Object.fromEntries(
    Object.entries(plan.loads).map(([name, load]) => [name, scenarioOf(load)]),
  ),
  hosts: plan.hosts as Record<string, string>,
  thresholds: plan.thresholds as Record<string, string[]>,
  summaryTrendStats: ['avg', 'min', 'med', 'p(95)', 'p(99)', 'max', 'count'],
  userAgent: 'order-management-loadtest',
  setupTimeout: '10s',
}

export function setup(): void {
  tell({ kind: 'start', at: Date.now() })
}

export function arrival(): void {
  const name = exec.scenario.name
  const load = plan.loads[name] as Load
  const journey = pick(load.journeys)
  const intent = intentOf(load)
  if (journey === 'list') {
    list(intent)
    return
  }
  const at = Date.now()
  const asked = client.place(intent, load)
  const problem = asked.problem ?? JOURNEYS[journey](intent, asked)
  note(asked, problem)
  tell({
    kind: 'order',
    load: name,
    tenant: load.tenant,
    journey,
    key: intent.key,
    traceId: intent.traceId,
    body: JSON.parse(intent.body),
    at,
    asks: asked.asks,
    end: asked.end,
    ...(problem === undefined ? {} : { problem }),
  })
}

/** Reads what its tenant ordered last. */
function list(intent: Intent): void {
  const { status } = client.get(intent, '/api/v1/orders?limit=5')
  const isFailed = status === 0 || status >= 500
  reads.add(1)
  failed.add(isFailed)
  wrong.add(status === 200 || isUnknown(status) ? 0 : 1)
}

/** What a client does with its order besides; tells what was wrong. */
const JOURNEYS: Readonly<
  Record<Exclude<Journey, 'list'>, (intent: Intent, asked: Asked) => string | undefined>
> = {
  place: () => undefined,

  read({ key, ...intent }, { end }) {
    if (end === 'open') return undefined
    const answer = client.get({ key, ...intent }, `/api/v1/orders/${key}`)
    if (isUnknown(answer.status)) return undefined
    const { order_id: id, state = '' } = bodyIn(answer.body)
    if (answer.status !== 200 || id !== key) return `read: ${answer.status} ${answer.body}`
    const isEnded = end === 'confirmed' ? state === 'confirmed' : state !== 'confirmed'
    return isEnded ? undefined : `read: ${state}, and the client was told ${end}`
  },

  /** Ended orders refuse it, and stay what they are. */
  cancel(intent, { end }) {
    if (end === 'open') return undefined
    const answer = client.cancel(intent)
    if (isUnknown(answer.status) || answer.status === 409) return undefined
    const { state } = bodyIn(answer.body)
    return answer.status === 200 && state === 'cancelled' && end !== 'confirmed'
      ? undefined
      : `cancel after ${end}: ${answer.status} ${state}`
  },

  /** The same answer, and no second order. */
  replay(intent, { end, asks: asked }) {
    const first = asked.at(-1)
    if (end === 'open' || first === undefined) return undefined
    const answer = client.post(intent, first.key, false)
    if (isUnknown(answer.status)) return undefined
    const { end: again } = verdictOn(answer)
    return again === end && answer.status === first.status
      ? undefined
      : `replay: ${answer.status} ${again}, and before ${first.status} ${end}`
  },
}

function isUnknown(status: number): boolean {
  return status === 0 || status === 429 || status >= 500
}

function note({ asks: all, end }: Asked, problem: string | undefined): void {
  const first = all[0]
  if (first === undefined) return
  const isVerdict = first.sha256 !== undefined
  taken.add(isVerdict || first.status === 202)
  atOnce.add(isVerdict)
  confirmed.add(end === 'confirmed')
  open.add(end === 'open' ? 1 : 0)
  wrong.add(problem === undefined ? 0 : 1)
  asks.add(all.length)
  firstMs.add(first.ms)
  for (const { status } of all) {
    shed.add(status === 429)
    failed.add(status === 0 || status >= 500)
  }
}

function intentOf({ tenant, lines, tokens }: Load): Intent {
  const token = tokens[exec.scenario.iterationInTest % tokens.length]
  return {
    key: crypto.randomUUID(),
    traceId: crypto.randomUUID().replaceAll('-', ''),
    tenant,
    body: JSON.stringify({ currency: 'EUR', lines, payment_token: token }),
  }
}

function pick(weights: Load['journeys']): Journey {
  const entries = Object.entries(weights) as [Journey, number][]
  let left = Math.random() * entries.reduce((sum, [, weight]) => sum + weight, 0)
  for (const [journey, weight] of entries) {
    left -= weight
    if (left < 0) return journey
  }
  return 'place'
}

function tell(line: object): void {
  console.log(JSON.stringify(line))
}

interface Metric {
  readonly values: Record<string, number>
  readonly thresholds?: Record<string, { readonly ok: boolean }>
}

export function handleSummary({ metrics }: { metrics: Record<string, Metric> }) {
  const thresholds = Object.entries(metrics).flatMap(([metric, { thresholds: of = {} }]) =>
    Object.entries(of).map(([condition, { ok }]): ThresholdTold => ({ metric, condition, ok })),
  )
  const summary: SummaryTold = {
    kind: 'summary',
    thresholds,
    metrics: Object.fromEntries(
      Object.entries(metrics).map(([name, { values }]) => [name, values]),
    ),
  }
  return { stdout: `${JSON.stringify(summary)}\n` }
}
