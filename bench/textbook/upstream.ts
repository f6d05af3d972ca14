/** One upstream of the textbook: the chassis's client, as ours. */
import { createHttpClient } from '@oms/chassis/http-client'
import type { Server } from '@oms/chassis/server'
import { DEADLINE_HEADER } from '@oms/contracts/headers'
import type { TSchema } from 'typebox'

export interface Call {
  readonly path: string
  /** Of the span; the path where absent. */
  readonly route?: string
  readonly body: object
  readonly headers?: Readonly<Record<string, string>>
  readonly answers: Readonly<Record<number, TSchema>>
}

export interface Upstream {
  /** @throws NoAnswer where none that is agreed came within 2 s. */
  post(
    call: Call,
  ): Promise<{ readonly status: number; readonly body: Readonly<Record<string, unknown>> }>
}

const ANSWER_WITHIN_MS = 2000

/** @param own false for the card processor: it gets no headers of ours. */
export function createUpstream(
  server: Server,
  name: string,
  origin: string,
  own: boolean,
): Upstream {
  const client = createHttpClient(
    server,
    own ? { name, origin, deadlineHeader: DEADLINE_HEADER } : { name, origin, forward: false },
  )
  return {
    async post({ path, route = path, body, headers = {}, answers }) {
      const request = { method: 'POST', path, route, body, headers, answers } as const
      const answer = await client.send({ ...request, timeoutMs: ANSWER_WITHIN_MS })
      return { status: answer.status, body: answer.body as Readonly<Record<string, unknown>> }
    },
  }
}
