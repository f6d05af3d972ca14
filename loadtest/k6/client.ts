/**
 * A right client of the API: one key an order, and an unknown answer is asked for again with the same key, with pauses
 * that grow and differ. A verdict is one where the service says so: confirmed, or a problem whose outcome is final.
 */
import { sleep } from 'k6'
import { sha256 } from 'k6/crypto'
import http, { type Response } from 'k6/http'
import type { Ask, End, Load, Plan } from '../src/plan.ts'
import { bodyIn, verdictOn } from './verdict.ts'

/** Longer than the gateway's own 12 s. */
const ANSWER_WITHIN = '15s'
/** Seconds: from the first pause to the longest. */
const FIRST_PAUSE = 0.25
const LONGEST_PAUSE = 4

export interface Intent {
  readonly key: string
  readonly traceId: string
  readonly tenant: string
  readonly body: string
}

export interface Asked {
  readonly asks: readonly Ask[]
  readonly end: End
  readonly problem?: string
}

export interface Client {
  /** To its verdict, or the end of patience or asks. */
  place(intent: Intent, load: Load): Asked
  /** One POST. */
  post(intent: Intent, key: string, sampled: boolean): Response
  get(intent: Intent, path: string): Response
  cancel(intent: Intent): Response
}

export function createClient(plan: Plan): Client {
  const orders = `${plan.url}/api/v1/orders`

  function params(intent: Intent, name: string, headers: Record<string, string> = {}) {
    return {
      headers: { ...plan.tenants[intent.tenant], 'content-type': 'application/json', ...headers },
      timeout: ANSWER_WITHIN,
      tags: { name },
    }
  }

  function isSampled(askedBefore: number): boolean {
    return plan.sampled > 0 && (askedBefore > 0 || Math.random() < plan.sampled)
  }

  function post(intent: Intent, key: string, sampled: boolean): Response {
    const trace = traceHeaders(intent.traceId, sampled)
    return heard(
      http.post(orders, intent.body, params(intent, 'place', { 'idempotency-key': key, ...trace })),
    )
  }

  function place(intent: Intent, { asks: atMost, takesNo }: Load): Asked {
    const asks: Ask[] = []
    const startedAt = Date.now()
    for (;;) {
      const key = plan.sameKey || asks.length === 0 ? intent.key : crypto.randomUUID()
      const at = Date.now()
      const answer = post(intent, key, isSampled(asks.length))
      const { end, problem, pause } = verdictOn(answer)
      asks.push(askOf(answer, key, at))
      if (end !== undefined) return { asks, end, ...(problem === undefined ? {} : { problem }) }
      // What was accepted is asked after to its end.
      if (takesNo && answer.status === 429 && asks.every(({ status }) => status !== 202))
        return { asks, end: 'shed' }
      const isLate = Date.now() - startedAt > plan.patienceSeconds * 1000
      if (isLate || asks.length >= atMost) return { asks, end: 'open' }
      const grown = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (asks.length - 1))
      sleep(Math.max(pause ?? 0, grown) * (0.75 + Math.random() / 2))
    }
  }

  return {
    place,
    post,
    get: (intent, path) => heard(http.get(`${plan.url}${path}`, params(intent, 'read'))),
    cancel: (intent) =>
      heard(http.post(`${orders}/${intent.key}/cancel`, '{}', params(intent, 'cancel'))),
  }
}

/** Says why no answer came; k6 itself says only that none did. */
function heard(answer: Response): Response {
  const { method, url } = answer.request
  if (answer.status === 0) console.warn(`${method} ${url}: ${answer.error}`)
  return answer
}

/** Envoy believes B3 first; both are sent, as a traced caller would. */
function traceHeaders(traceId: string, sampled: boolean): Record<string, string> {
  const spanId = traceId.slice(0, 16)
  const bit = sampled ? '1' : '0'
  return {
    'x-b3-traceid': traceId,
    'x-b3-spanid': spanId,
    'x-b3-sampled': bit,
    traceparent: `00-${traceId}-${spanId}-0${bit}`,
  }
}

function askOf(answer: Response, key: string, at: number): Ask {
  const { status } = answer
  const { amount_minor: amountMinor, outcome } = bodyIn(answer.body)
  const isFinal = status === 201 || outcome === 'final'
  return {
    at,
    ms: Math.round(answer.timings.duration),
    status,
    key,
    ...(amountMinor === undefined ? {} : { amountMinor }),
    ...(isFinal ? { sha256: sha256(String(answer.body), 'hex') } : {}),
  }
}
