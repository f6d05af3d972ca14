/** Stock and reservations in PostgreSQL: every method is one named statement, one round trip. */
import { inBackground } from '@oms/chassis/context'
import { faultPoint } from '@oms/chassis/fault-point'
import { functionCall, type Postgres, type Statement } from '@oms/chassis/postgres'
import { withinDeadline } from '@oms/chassis/verdict'
import { Busy } from '@oms/problem/http-problems'
import type { Stock } from '../domain/ports.ts'
import type { Line, Reservation, ReservationState, StockLevel } from '../domain/reservation.ts'

const RESERVATION_STATES: Readonly<Record<number, ReservationState>> = {
  1: 'held',
  2: 'committed',
  3: 'released',
  9: 'rejected',
}

const call = (name: string, parameters: number): Statement =>
  functionCall('inventory', name, parameters)

const STATEMENTS = {
  reserve: call('reserve', 4),
  release: call('release', 2),
  settle: call('settle', 2),
  load: call('load_reservation', 2),
  claimExpired: call('claim_expired', 1),
  page: call('stock_page', 4),
  supply: call('set_stock', 3),
  gauges: call('inventory_gauges', 0),
}

interface ReservationRow {
  readonly tenant_id: string
  readonly order_id: string
  readonly state: number
  readonly lines: readonly Line[]
  readonly unavailable: readonly string[] | null
  readonly expires_at: string | null
}

interface Result<Row, Role extends string = 'read'> {
  readonly role: Role
  readonly entity: Row
}

export function createStockRepository(postgres: Postgres): Stock {
  /**
   * Gives up when the answer is due: waiting for a connection and for a hot row may add up to more. The statement
   * goes on and keeps its permit.
   * @throws Busy what became of it is not known to this request.
   */
  async function rows<Row>(
    statement: Statement,
    values: readonly unknown[],
  ): Promise<readonly Row[]> {
    const work = postgres.call<Row>(statement, values)
    inBackground(work)
    const found = await withinDeadline(work)
    if (found === undefined)
      throw new Busy('The database did not answer in time; ask again after a second.')
    return found
  }

  async function one<Row>(statement: Statement, values: readonly unknown[]): Promise<Row> {
    const [row] = await rows<Row>(statement, values)
    if (row === undefined) throw new Error(`${statement.name} returned no row`)
    return row
  }

  return {
    async reserve({ tenantId, orderId, fingerprint, lines }) {
      const { role, entity } = await one<Result<ReservationRow, 'fresh' | 'read' | 'conflict'>>(
        STATEMENTS.reserve,
        [tenantId, orderId, Buffer.from(fingerprint, 'hex'), JSON.stringify(lines)],
      )
      await faultPoint('inventory.r1.after_commit')
      return { role, reservation: toReservation(entity) }
    },

    async release({ tenantId, orderId }) {
      const { role, entity } = await one<Result<ReservationRow, 'fresh' | 'read' | 'committed'>>(
        STATEMENTS.release,
        [tenantId, orderId],
      )
      await faultPoint('inventory.release.after_commit')
      return { role, reservation: toReservation(entity) }
    },

    async settle(tenantId, orderIds) {
      const settled = await rows<Result<ReservationRow, 'fresh' | 'read'>>(STATEMENTS.settle, [
        tenantId,
        orderIds,
      ])
      await faultPoint('inventory.settle.after_commit')
      return settled.map(({ role, entity }) => ({ role, reservation: toReservation(entity) }))
    },

    async find({ tenantId, orderId }) {
      const [row] = await rows<Result<ReservationRow>>(STATEMENTS.load, [tenantId, orderId])
      return row === undefined ? undefined : toReservation(row.entity)
    },

    async claimExpired(batch) {
      const claimed = await rows<{ tenant_id: string; order_id: string; age_seconds: number }>(
        STATEMENTS.claimExpired,
        [batch],
      )
      return claimed.map(({ tenant_id, order_id, age_seconds }) => ({
        tenantId: tenant_id,
        orderId: order_id,
        ageSeconds: age_seconds,
      }))
    },

    async levels({ tenantId, skus, after, limit }) {
      const page = await rows<Result<StockLevel>>(STATEMENTS.page, [
        tenantId,
        skus ?? null,
        after,
        limit,
      ])
      return page.map(({ entity }) => entity)
    },

    async supply({ tenantId, sku, supplied }) {
      const { role, entity } = await one<Result<StockLevel, 'raised' | 'read'>>(STATEMENTS.supply, [
        tenantId,
        sku,
        supplied,
      ])
      return { role, level: entity }
    },

    async gauges() {
      const { held } = await one<{ held: string }>(STATEMENTS.gauges, [])
      return { held: Number(held) }
    },
  }
}

function toReservation(row: ReservationRow): Reservation {
  const state = RESERVATION_STATES[row.state]
  if (state === undefined)
    throw new Error(`reservation ${row.order_id} has the unknown state ${row.state}`)
  return {
    tenantId: row.tenant_id,
    orderId: row.order_id,
    state,
    lines: row.lines,
    unavailableSkus: row.unavailable,
    expiresAt: row.expires_at === null ? null : new Date(row.expires_at).toISOString(),
  }
}
