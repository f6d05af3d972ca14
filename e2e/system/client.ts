/**
 * A caller of order-service as a shop would be one: places with a key, repeats with the same, reads to the end. Writes
 * down what it was told, for the audit.
 */
import { createHash, randomUUID } from 'node:crypto'
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { fingerprintOf } from '@oms/contracts/identity'
import { request } from 'undici'

export interface OrderAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** An order, or a problem. */
  readonly body: Readonly<Record<string, unknown>>
  readonly text: string
}

export interface OrderRequest {
  readonly tenant?: string
  readonly key?: string
  readonly token?: string
  readonly lines?: readonly { readonly sku: string; readonly quantity: number }[]
  readonly headers?: Readonly<Record<string, string>>
}

export interface Client {
  /** One request. @throws where no answer came. */
  place(request?: OrderRequest): Promise<OrderAnswer>
  /** Repeats `place` with its key until the answer is final; at most `ms`. */
  placeToEnd(request?: OrderRequest, ms?: number): Promise<OrderAnswer>
  cancel(
    orderId: string,
    tenant?: string,
    headers?: Readonly<Record<string, string>>,
  ): Promise<OrderAnswer>
  read(path: string, tenant?: string): Promise<OrderAnswer>
}

export const DEMO_LINES = [{ sku: 'MOKA-POT', quantity: 1 }] as const

/** Longer than order-service's own 10.5 s. */
const ANSWER_WITHIN_MS = 12_000

/** What the audit reads of a folder that a client records to. */
export function recordingFlags(folder: string): readonly string[] {
  return ['--acks', join(folder, 'acks.jsonl'), '--answers', join(folder, 'answers.jsonl')]
}

/** @param recordTo folder of `acks.jsonl` and `answers.jsonl`, which grow. */
export function createClient(url: string, recordTo?: string): Client {
  function record(tenant: string, key: string, request: object, answer: OrderAnswer): void {
    const final = isFinalAnswer(answer)
    if (recordTo === undefined || !(final || answer.status === 202)) return
    const { order_id, amount_minor } = answer.body
    const told = { tenant_id: tenant, order_id, status: answer.status }
    append('acks', { ...told, fingerprint: fingerprintOf(request), amount_minor })
    if (final)
      append('answers', {
        ...told,
        idempotency_key: key,
        body_sha256: createHash('sha256').update(answer.text).digest('hex'),
      })
  }

  function append(name: 'acks' | 'answers', line: object): void {
    appendFileSync(join(recordTo as string, `${name}.jsonl`), `${JSON.stringify(line)}\n`)
  }

  async function send(
    path: string,
    tenant: string,
    init: {
      readonly method?: 'POST'
      readonly headers?: Record<string, string>
      readonly body?: string
    },
  ): Promise<OrderAnswer> {
    // undici's request costs less than half of fetch, whose share of two cores the services would miss.
    const { statusCode, headers, body } = await request(url + path, {
      ...init,
      headers: { 'x-tenant-id': tenant, ...init.headers },
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    })
    const text = await body.text()
    return { status: statusCode, headers, body: JSON.parse(text), text }
  }

  async function place({
    tenant = 'acme',
    key = randomUUID(),
    token = 'pm_approve0001',
    lines = DEMO_LINES,
    headers = {},
  }: OrderRequest = {}): Promise<OrderAnswer> {
    const order = { currency: 'EUR', lines, payment_token: token }
    const answer = await send('/api/v1/orders', tenant, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': key, ...headers },
      body: JSON.stringify(order),
    })
    record(tenant, key, order, answer)
    return answer
  }

  async function placeToEnd(order: OrderRequest = {}, ms = 60_000): Promise<OrderAnswer> {
    const keyed = { ...order, key: order.key ?? randomUUID() }
    const until = performance.now() + ms
    for (;;) {
      const answer = await place(keyed).catch(() => undefined)
      if (answer !== undefined && isFinalAnswer(answer)) return answer
      if (performance.now() > until)
        throw new Error(`order ${keyed.key} had no end after ${ms} ms: ${answer?.text}`)
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }

  return {
    place,
    placeToEnd,
    cancel: (orderId, tenant = 'acme', headers = {}) =>
      send(`/api/v1/orders/${orderId}/cancel`, tenant, { method: 'POST', headers }),
    read: (path, tenant = 'acme') => send(path, tenant, {}),
  }
}

/** Confirmed, or a refusal that says it is final. */
export function isFinalAnswer({ status, body }: OrderAnswer): boolean {
  return status === 201 || body['outcome'] === 'final'
}
