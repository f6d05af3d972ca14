/** Orders in PostgreSQL: every method is one named statement, one round trip. */
import { faultPoint } from '@oms/chassis/fault-point'
import { functionCall, type Postgres, type Statement } from '@oms/chassis/postgres'
import { UUID_PATTERN } from '@oms/contracts/identity'
import { Busy, InvalidRequest } from '@oms/problem/http-problems'
import {
  type Order,
  type OrderKey,
  type OrderState,
  STATE_CODES,
  type Verdict,
} from '../domain/order.ts'
import type { Accepted, LeaseRole, Orders, Told } from '../domain/ports.ts'
import type { Occurrence } from '../domain/transitions.ts'

const call = (name: string, parameters: number): Statement =>
  functionCall('order', name, parameters)

const STATEMENTS = {
  accept: call('accept_order', 6),
  load: call('load_order', 2),
  rejected: call('apply_rejected', 3),
  verdict: call('apply_verdict', 4),
  refunded: call('apply_refunded', 2),
  released: call('apply_released', 2),
  defer: call('defer_order', 4),
  cancel: call('request_cancel', 2),
  claim: call('claim_due', 1),
  returnLeases: call('return_leases', 2),
  list: call('list_orders', 5),
  reservationVerdict: call('reservation_verdict', 2),
  setPrice: call('set_price', 4),
  unfinished: call('unfinished_orders', 0),
  ages: call('order_ages', 0),
}

const STATES = new Map(
  Object.entries(STATE_CODES).map(([name, code]) => [code as number, name as OrderState]),
)

interface OrderRow {
  readonly tenant_id: string
  readonly order_id: string
  readonly state: number
  readonly verdict: Verdict
  readonly reason: string | null
  readonly detail: {
    readonly decline_code?: string
    readonly unavailable_skus?: readonly string[]
  } | null
  readonly currency: string
  readonly amount_minor: number
  readonly lines: readonly {
    readonly sku: string
    readonly quantity: number
    readonly unit_price_minor: number
  }[]
  readonly payment_token: string | null
  readonly cancel_requested_at: string | null
  readonly attempt: number
  readonly created_at: string
  readonly finished_at: string | null
}

interface Result<Role extends string = string> {
  readonly role: Role
  readonly entity: OrderRow
  readonly due: boolean
}

type AcceptResult =
  | Result<LeaseRole | 'conflict'>
  | { readonly role: 'unknown_sku'; readonly entity: readonly string[] }
  | { readonly role: 'amount_too_large' }

export interface OrderRepositoryOptions {
  /** Told of every transition that this process wrote; `none` is where an accepted order comes from. */
  readonly onTransition: (from: OrderState | 'none', to: OrderState) => void
}

export function createOrderRepository(
  postgres: Postgres,
  { onTransition }: OrderRepositoryOptions,
): Orders {
  async function write(
    order: Order,
    statement: Statement,
    more: readonly unknown[],
  ): Promise<Order> {
    const values = [order.tenantId, order.orderId, ...more]
    const result = await postgres.one<Result>(statement, values)
    const written = toOrder(result)
    if (result.role === 'written') onTransition(order.state, written.state)
    return written
  }

  async function decide(order: Order, verdict: Verdict, told: Told): Promise<Order> {
    const code = told.declineCode ?? null
    await faultPoint('order.t2.before')
    const detail = code === null ? null : JSON.stringify({ decline_code: code })
    const decided = await write(order, STATEMENTS.verdict, [verdict, detail])
    await faultPoint('order.t2.after_commit')
    return decided
  }

  async function finish(order: Order, statement: Statement, more: readonly unknown[]) {
    const finished = await write(order, statement, more)
    await faultPoint('order.final.after_commit')
    return finished
  }

  type Write = (order: Order, told: Told) => Promise<Order>
  const writes: Readonly<Record<Exclude<Occurrence, 'no_verdict'>, Write>> = {
    captured: (order, told) => decide(order, 'captured', told),
    declined: (order, told) => decide(order, 'declined', told),
    voided: (order, told) => decide(order, 'voided', told),
    refunded: (order) => write(order, STATEMENTS.refunded, []),
    released: (order) => finish(order, STATEMENTS.released, []),
    rejected: (order, { unavailableSkus = [] }) =>
      finish(order, STATEMENTS.rejected, [JSON.stringify({ unavailable_skus: unavailableSkus })]),
  }

  return {
    async accept({ tenantId, orderId, fingerprint, currency, lines, paymentToken }) {
      await faultPoint('order.t1.before')
      const result = await postgres.one<AcceptResult>(STATEMENTS.accept, [
        tenantId,
        orderId,
        Buffer.from(fingerprint, 'hex'),
        currency,
        JSON.stringify(lines),
        paymentToken,
      ])
      await faultPoint('order.t1.after_commit')
      const accepted = toAccepted(result)
      if (accepted.role === 'fresh') onTransition('none', accepted.order.state)
      return accepted
    },

    async find(key) {
      const [row] = await postgres.call<Result>(STATEMENTS.load, [key.tenantId, key.orderId])
      return row === undefined ? undefined : toOrder(row)
    },

    apply: (order, on, told) => writes[on](order, told),

    async defer(order, { charged, soon }) {
      const deferred = await write(order, STATEMENTS.defer, [charged, soon])
      await faultPoint('order.defer.after_commit')
      return deferred
    },

    async requestCancel({ tenantId, orderId }) {
      const values = [tenantId, orderId]
      const [row] = await postgres.call<Result<LeaseRole>>(STATEMENTS.cancel, values)
      if (row === undefined) return undefined
      if (row.role === 'fresh') await faultPoint('order.cancel.after_flag')
      return { role: row.role, order: toOrder(row) }
    },

    async claimDue(batch) {
      type Row = { readonly tenant_id: string; readonly order_id: string }
      const rows = await postgres.call<Row>(STATEMENTS.claim, [batch])
      if (rows.length > 0) await faultPoint('order.sweep.claimed')
      return rows.map(({ tenant_id, order_id }) => ({ tenantId: tenant_id, orderId: order_id }))
    },

    async returnLeases(keys) {
      await postgres.call(STATEMENTS.returnLeases, [
        keys.map(({ tenantId }) => tenantId),
        keys.map(({ orderId }) => orderId),
      ])
    },

    async page(tenantId, { limit, cursor, state }) {
      const after = cursor === undefined ? undefined : readCursor(cursor)
      const rows = await postgres.call<Result>(STATEMENTS.list, [
        tenantId,
        state === undefined ? null : STATE_CODES[state],
        after?.createdAt ?? null,
        after?.orderId ?? null,
        limit + 1,
      ])
      const shown = rows.slice(0, limit)
      const last = shown.at(-1)
      const more = rows.length > limit && last !== undefined
      // A state that a newer version wrote: left out, as one row must not hide all others.
      const readable = shown.filter(({ entity }) => STATES.has(entity.state))
      return { orders: readable.map(toOrder), nextCursor: more ? writeCursor(last.entity) : null }
    },

    async reservationVerdict({ tenantId, orderId }) {
      const { verdict } = await postgres.one<{ verdict: 'commit' | 'release' | 'keep' }>(
        STATEMENTS.reservationVerdict,
        [tenantId, orderId],
      )
      return verdict
    },

    async setPrice({ tenantId, sku, currency, unitPriceMinor }) {
      await postgres.call(STATEMENTS.setPrice, [tenantId, sku, currency, unitPriceMinor])
    },

    async gauges() {
      type Ages = { readonly oldest_due_seconds: number; readonly outbox_oldest_seconds: number }
      type Count = { readonly state: number; readonly orders: string }
      const [counts, ages] = await Promise.all([
        postgres.call<Count>(STATEMENTS.unfinished, []),
        postgres.one<Ages>(STATEMENTS.ages, []),
      ])
      return {
        unfinished: counts.map(({ state, orders }) => ({
          state: STATES.get(state) ?? 'unknown',
          orders: Number(orders),
        })),
        oldestDueSeconds: ages.oldest_due_seconds,
        outboxOldestSeconds: ages.outbox_oldest_seconds,
      }
    },
  }
}

function toAccepted(result: AcceptResult): Accepted {
  if (result.role === 'amount_too_large') return { role: result.role }
  if (result.role === 'unknown_sku') return { role: result.role, skus: result.entity }
  return { role: result.role, order: toOrder(result) }
}

/** @throws Busy for a state that only a newer version knows: it is neither an end nor to be touched. */
function toOrder({ entity: row, due }: Result): Order {
  const state = STATES.get(row.state)
  if (state === undefined)
    throw new Busy(
      `Order ${row.order_id} is at a step that this version cannot read; ask again after a second.`,
      { order_id: row.order_id },
    )
  return {
    tenantId: row.tenant_id,
    orderId: row.order_id,
    state,
    verdict: row.verdict,
    reason: row.reason,
    declineCode: row.detail?.decline_code ?? null,
    unavailableSkus: row.detail?.unavailable_skus ?? [],
    currency: row.currency,
    amountMinor: row.amount_minor,
    lines: row.lines.map(({ sku, quantity, unit_price_minor }) => ({
      sku,
      quantity,
      unitPriceMinor: unit_price_minor,
    })),
    paymentToken: row.payment_token,
    cancelRequested: row.cancel_requested_at !== null,
    due,
    attempt: row.attempt,
    createdAt: new Date(row.created_at).toISOString(),
    finishedAt: row.finished_at === null ? null : new Date(row.finished_at).toISOString(),
  }
}

interface Cursor extends Pick<OrderKey, 'orderId'> {
  /** UTC with microseconds: orders of the same millisecond stand on different pages. */
  readonly createdAt: string
}

function writeCursor({ created_at, order_id }: OrderRow): string {
  const [seconds] = new Date(created_at).toISOString().split('.')
  const micros = (/\.(\d{1,6})/.exec(created_at)?.[1] ?? '').padEnd(6, '0')
  return Buffer.from(`${seconds}.${micros}Z ${order_id}`).toString('base64url')
}

const CURSOR = new RegExp(
  `^([1-9]\\d{3}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2})(\\.\\d{6}Z) (${UUID_PATTERN.slice(1, -1)})$`,
)

/** @throws InvalidRequest for a cursor that no page gave. */
function readCursor(cursor: string): Cursor {
  const text = Buffer.from(cursor, 'base64url').toString('latin1')
  const [, seconds = '', micros, orderId] = CURSOR.exec(text) ?? []
  if (micros === undefined || orderId === undefined || !isDateTime(seconds))
    throw new InvalidRequest('The cursor is not one of ours; pass next_cursor as it was given.', {
      errors: [{ pointer: '/querystring/cursor', detail: 'must be a next_cursor' }],
    })
  return { createdAt: seconds + micros, orderId }
}

/** JavaScript takes the 30th of February for the 2nd of March; PostgreSQL does not. */
function isDateTime(seconds: string): boolean {
  const date = new Date(`${seconds}Z`)
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(seconds)
}
