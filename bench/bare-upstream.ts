/** Asking over HTTP with nothing around it: no deadline, no span, no check of the answer. */
import { Pool } from 'undici'
import type { Upstream } from './textbook/upstream.ts'

export interface BareUpstream extends Upstream {
  close(): Promise<void>
}

export function createBareUpstream(origin: string): BareUpstream {
  const pool = new Pool(origin, { connections: 16, pipelining: 1 })
  return {
    async post({ path, body, headers = {} }) {
      const answer = await pool.request({
        method: 'POST',
        path,
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      })
      return {
        status: answer.statusCode,
        body: (await answer.body.json()) as Readonly<Record<string, unknown>>,
      }
    },
    close: () => pool.destroy(),
  }
}
