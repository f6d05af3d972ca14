/** What an answer of the API means for whoever asked: protocol.md of the service, README's table of answers. */
import type { End } from '../src/plan.ts'

export interface Body {
  readonly order_id?: string
  readonly state?: string
  readonly amount_minor?: number
  readonly outcome?: string
  readonly retryable?: boolean
  readonly detail?: string
  readonly type?: string
}

/** An empty one where it is no JSON, as Envoy's own are, and where no answer came: k6 has null then, which is JSON. */
export function bodyIn(text: unknown): Body {
  try {
    return (JSON.parse(String(text)) as Body | null) ?? {}
  } catch {
    return {}
  }
}

export interface Answer {
  /** 0: none came. */
  readonly status: number
  readonly body: unknown
  readonly headers: Readonly<Record<string, string>>
}

export interface Verdict {
  /** Absent: ask again, with the same key. */
  readonly end?: End
  readonly problem?: string
  /** Seconds that the answer asks for. */
  readonly pause?: number
}

/** Only what says that it is final is: no status alone is a no. */
export function verdictOn({ status, body: text, headers }: Answer): Verdict {
  const body = bodyIn(text)
  if (status === 201) return { end: 'confirmed' }
  if (body.outcome === 'final')
    return { end: body.type?.endsWith('/order-cancelled') ? 'cancelled' : 'refused' }
  const isUnknown = status === 202 || status === 0 || status === 429 || status >= 500
  if (isUnknown || body.retryable === true) return { pause: Number(headers['Retry-After'] ?? 0) }
  return { end: 'wrong', problem: `${status} ${body.detail ?? String(text).slice(0, 200)}` }
}
