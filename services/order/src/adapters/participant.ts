/**
 * Asking another service about one order. Only a definitive answer that conforms and echoes the order's id is an
 * answer; everything else is `unknown`, never "no".
 */
import {
  type ClientAnswer,
  type ClientRequest,
  type HttpClient,
  NoAnswer,
} from '@oms/chassis/http-client'
import { IDEMPOTENCY_KEY_HEADER, ORDER_HEADER, TENANT_HEADER } from '@oms/contracts/headers'
import { Problem, type ProblemClass, type ProblemMembers } from '@oms/problem/problem'
import type { OrderKey } from '../domain/order.ts'
import type { Told } from '../domain/ports.ts'
import type { Answer } from '../domain/transitions.ts'

/** A refusal that is a verdict, and what it tells. */
export type Refusal = readonly [ProblemClass, (members: ProblemMembers) => Told]

export interface Question extends Omit<ClientRequest, 'headers' | 'problems'> {
  /** The Idempotency-Key; the order's id where absent. The mesh retries no POST without one. */
  readonly key?: string
  readonly refusals: readonly Refusal[]
}

export type Ask = (
  order: OrderKey,
  question: Question,
  understand: (answer: ClientAnswer) => Told,
) => Promise<Told>

const UNKNOWN: Told = { answer: 'unknown' }

export function createParticipant(client: HttpClient): Ask {
  return async function ask(
    { tenantId, orderId },
    { key = orderId, refusals, ...request },
    understand,
  ) {
    try {
      const answer = await client.send({
        ...request,
        headers: {
          [TENANT_HEADER]: tenantId,
          [ORDER_HEADER]: orderId,
          ...(request.method === 'POST' ? { [IDEMPOTENCY_KEY_HEADER]: key } : {}),
        },
        problems: refusals.map(([problem]) => problem),
      })
      return echoes(answer.body, orderId) ? understand(answer) : UNKNOWN
    } catch (error) {
      if (error instanceof NoAnswer) return UNKNOWN
      const refusal = refusals.find(([problem]) => error instanceof problem)
      if (refusal === undefined || !(error instanceof Problem)) throw error
      return echoes(error.members, orderId) ? refusal[1](error.members) : UNKNOWN
    }
  }
}

/**
 * The state of a body where this status may carry it. Whatever else the service says under a status that is a
 * verdict contradicts the protocol.
 */
export function stateOf<State extends Answer>(
  body: unknown,
  expected: readonly State[],
): State | 'contradiction' {
  const { state } = body as { readonly state: string }
  return expected.find((each) => each === state) ?? 'contradiction'
}

function echoes(body: unknown, orderId: string): boolean {
  return (body as { readonly order_id?: unknown } | null)?.order_id === orderId
}

/** A refusal that the protocol does not foresee here. */
export function contradiction(problem: ProblemClass): Refusal {
  return [problem, () => ({ answer: 'contradiction' })]
}
