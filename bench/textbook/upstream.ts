/** One upstream of the textbook: the same client, connections and headers as ours, nothing around them. */
import { ORDER_HEADER, TENANT_HEADER } from '@oms/contracts/headers'
import { Pool } from 'undici'

export interface Upstream {
  /** @throws where no answer came within 2 s. */
  post(
    path: string,
    body: object,
    headers?: Readonly<Record<string, string>>,
  ): Promise<{ readonly status: number; readonly body: Readonly<Record<string, unknown>> }>
  close(): Promise<void>
}

const ANSWER_WITHIN_MS = 2000

export function createUpstreamPool(origin: string): Upstream {
  const pool = new Pool(origin, { connections: 16, pipelining: 1, keepAliveTimeout: 30_000 })
  return {
    async post(path, body, headers = {}) {
      const answer = await pool.request({
        method: 'POST',
        path,
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
      })
      const parsed = (await answer.body.json()) as Record<string, unknown>
      return { status: answer.statusCode, body: parsed }
    },
    close: () => pool.destroy(),
  }
}

export function headersOf(tenantId: string, orderId: string): Record<string, string> {
  return { [TENANT_HEADER]: tenantId, [ORDER_HEADER]: orderId }
}
