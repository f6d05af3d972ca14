/**
 * A small healthy world, made by the services' own database functions, and ways to break it: three databases, a
 * processor's ledger, clients' recordings, metrics. `restore` brings the healthy rows back.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createTestDatabase, createUpstream, json, type Upstream } from '@oms/chassis/testing'
import { migrations as inventoryMigrations } from '@oms/inventory/migrations/migrations.ts'
import { migrations as orderMigrations } from '@oms/order/migrations/migrations.ts'
import { migrations as paymentMigrations } from '@oms/payment/migrations/migrations.ts'
import type pg from 'pg'
import { inject } from 'vitest'
import type { Row } from '../src/audit.ts'
import { runCli } from '../src/cli.ts'
import { installHistory } from '../src/history.ts'

export const ORDERS = {
  confirmed: '0198c1a0-0000-7000-8000-000000000001',
  rejected: '0198c1a0-0000-7000-8000-000000000002',
  declined: '0198c1a0-0000-7000-8000-000000000003',
  voided: '0198c1a0-0000-7000-8000-000000000004',
  refunded: '0198c1a0-0000-7000-8000-000000000005',
  tombstone: '0198c1a0-0000-7000-8000-000000000006',
  stranger: '0198c1a0-0000-7000-8000-0000000000ff',
} as const

interface Entry {
  id: string
  idempotency_key: string
  merchant_reference: string
  amount: number
  currency: string
  status: string
  charge?: string
}

interface Ack {
  tenant_id: string
  order_id: string
  fingerprint: string
  amount_minor: number
  status: number
}

interface Answer {
  tenant_id: string
  idempotency_key: string
  order_id: string
  status: number
  body_sha256: string
}

/** What a test may change before it audits. */
interface Recorded {
  charges: Entry[]
  refunds: Entry[]
  acks: Ack[]
  answers: Answer[]
  gauges: Record<string, number>
}

interface AuditRun {
  readonly code: number
  readonly rows: readonly Row[]
  readonly out: string
  readonly err: string
}

export interface World {
  readonly order: pg.Pool
  readonly inventory: pg.Pool
  readonly payment: pg.Pool
  readonly recorded: Recorded
  readonly processor: Upstream
  readonly env: Readonly<Record<string, string>>
  /** Statements as superuser with triggers and foreign keys off. */
  force(pool: pg.Pool, text: string, values?: readonly unknown[]): Promise<void>
  /** Files and arguments for everything the audit can be given. */
  everything(): string[]
  run(argv: readonly string[], env?: Readonly<Record<string, string>>): Promise<AuditRun>
  restore(): Promise<void>
  drop(): Promise<void>
}

const FP = '11'.repeat(32)

export const pspKey = (tenant: string, order: string, suffix = 'c1'): string =>
  `oms:local:${tenant}:${order}:${suffix}`

export async function createWorld(): Promise<World> {
  const [order, inventory, payment] = await Promise.all([
    createTestDatabase('oms_order', orderMigrations),
    createTestDatabase('oms_inventory', inventoryMigrations),
    createTestDatabase('oms_payment', paymentMigrations),
  ])
  const pools = [order.admin, inventory.admin, payment.admin]
  await installHistory(order.admin)
  const fill = createFiller(order.admin, inventory.admin, payment.admin)
  await fill()
  for (const pool of pools) {
    await dropChecks(pool)
    await save(pool)
  }

  const healthy = healthyRecordings()
  const recorded = structuredClone(healthy)
  const processor = await createUpstream()
  const metrics = await createUpstream()
  const folder = mkdtempSync(join(tmpdir(), 'oms-audit-'))
  serveLedger(processor, recorded)
  metrics.answer((_request, response) => {
    const lines = Object.entries(recorded.gauges).map(
      ([name, value]) => `# TYPE ${name} gauge\n${name} ${value}`,
    )
    response.writeHead(200).end(`${lines.join('\n')}\n# EOF\n`)
  })

  const base = inject('postgresUrl')
  const env = {
    ORDER_DATABASE_URL: `${base}/${order.name}`,
    INVENTORY_DATABASE_URL: `${base}/${inventory.name}`,
    PAYMENT_DATABASE_URL: `${base}/${payment.name}`,
  }

  async function run(
    argv: readonly string[],
    changed: Readonly<Record<string, string>> = {},
  ): Promise<AuditRun> {
    let out = ''
    let err = ''
    const code = await runCli({
      argv,
      env: { ...env, ...changed },
      colours: false,
      out: (text) => {
        out += text
      },
      err: (text) => {
        err += text
      },
    })
    const rows = out.startsWith('{') ? (JSON.parse(out) as { rows: Row[] }).rows : []
    return { code, rows, out, err }
  }

  function everything(): string[] {
    const write = (name: string, lines: readonly object[]): string => {
      const path = join(folder, name)
      writeFileSync(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
      return path
    }
    return [
      '--json',
      ...['--processor-url', processor.origin],
      ...['--acks', write('acks', recorded.acks)],
      ...['--answers', write('answers', recorded.answers)],
      ...['--metrics', `${metrics.origin}/metrics`],
    ]
  }

  async function force(
    pool: pg.Pool,
    text: string,
    values: readonly unknown[] = [],
  ): Promise<void> {
    const client = await pool.connect()
    try {
      await client.query("SET session_replication_role = 'replica'")
      await client.query(text, [...values])
    } finally {
      await client.query('RESET session_replication_role')
      client.release()
    }
  }

  return {
    order: order.admin,
    inventory: inventory.admin,
    payment: payment.admin,
    recorded,
    processor,
    env,
    force,
    everything,
    run,
    async restore() {
      Object.assign(recorded, structuredClone(healthy))
      serveLedger(processor, recorded)
      for (const pool of pools) await force(pool, 'CALL saved.restore()')
    },
    async drop() {
      await Promise.all([order.drop(), inventory.drop(), payment.drop()])
      await Promise.all([processor.close(), metrics.close()])
      rmSync(folder, { recursive: true })
    },
  }
}

/** Pages of two while they are few, so that every audit turns pages. */
function serveLedger(processor: Upstream, recorded: Recorded): void {
  processor.answer(({ path }, response) => {
    const url = new URL(path, 'http://processor')
    const list = url.pathname === '/v1/charges' ? recorded.charges : recorded.refunds
    const after = url.searchParams.get('after')
    const from = after === null ? 0 : list.findIndex(({ id }) => id === after) + 1
    const size = list.length < 10 ? 2 : Number(url.searchParams.get('limit'))
    const until = from + size
    json(response, 200, { data: list.slice(from, until), has_more: list.length > until })
  })
}

function createFiller(order: pg.Pool, inventory: pg.Pool, payment: pg.Pool) {
  const call = async (pool: pg.Pool, text: string, values: readonly unknown[]): Promise<void> => {
    await pool.query(text, [...values])
  }

  async function accept(t: string, o: string, sku: string, quantity: number): Promise<void> {
    const lines = JSON.stringify([{ sku, quantity }])
    const currency = t === 'acme' ? 'EUR' : 'USD'
    await call(order, 'SELECT oms.set_price($1, $2, $3, 100)', [t, sku, currency])
    await call(order, 'SELECT oms.accept_order($1, $2, $3, $4, $5, $6)', [
      ...[t, o, Buffer.from(FP, 'hex'), currency, lines, 'pm_approve0'],
    ])
    await call(inventory, 'SELECT oms.reserve($1, $2, $3, $4)', [
      ...[t, o, Buffer.from(FP, 'hex'), lines],
    ])
  }

  async function charge(t: string, o: string, verdict: string): Promise<void> {
    await call(payment, `SELECT oms.begin_charge($1, $2, $3, 500, $4, 'pm_approve0', $5)`, [
      ...[t, o, Buffer.from(FP, 'hex'), t === 'acme' ? 'EUR' : 'USD', pspKey(t, o)],
    ])
    await call(payment, 'SELECT oms.finish_charge($1, $2, $3, $4, NULL)', [
      ...[t, o, verdict, `ch_${t}_${o.slice(-1)}`],
    ])
  }

  const verdict = (t: string, o: string, name: string): Promise<void> =>
    call(order, 'SELECT oms.apply_verdict($1, $2, $3, NULL)', [t, o, name])
  const cancel = (t: string, o: string): Promise<void> =>
    call(order, 'SELECT oms.request_cancel($1, $2)', [t, o])

  async function release(t: string, o: string): Promise<void> {
    await call(inventory, 'SELECT oms.release($1, $2)', [t, o])
    await call(order, 'SELECT oms.apply_released($1, $2)', [t, o])
  }

  async function publish(t: string): Promise<void> {
    await call(
      order,
      `SELECT oms.publish($1, array_agg(order_id ORDER BY order_id), array_agg(type ORDER BY order_id))
         FROM oms.outbox WHERE tenant_id = $1`,
      [t],
    )
  }

  async function confirm(t: string): Promise<void> {
    await accept(t, ORDERS.confirmed, 'TEA', 5)
    await charge(t, ORDERS.confirmed, 'captured')
    await verdict(t, ORDERS.confirmed, 'captured')
    await call(inventory, 'SELECT oms.settle($1, $2)', [t, [ORDERS.confirmed]])
  }

  return async function fill(): Promise<void> {
    for (const tenant of ['acme', 'globex'])
      await call(
        inventory,
        `INSERT INTO oms.stock (tenant_id, sku, supplied, available) VALUES ($1, 'TEA', 100, 100)`,
        [tenant],
      )
    // The same order id under two tenants: two orders.
    await confirm('acme')
    await confirm('globex')

    await accept('acme', ORDERS.rejected, 'GOLD', 5)
    await call(order, 'SELECT oms.apply_rejected($1, $2, NULL)', ['acme', ORDERS.rejected])

    await accept('acme', ORDERS.declined, 'TEA', 5)
    await charge('acme', ORDERS.declined, 'declined')
    await call(order, 'SELECT oms.defer_order($1, $2, true, false)', ['acme', ORDERS.declined])
    await verdict('acme', ORDERS.declined, 'declined')
    await release('acme', ORDERS.declined)

    await accept('acme', ORDERS.voided, 'TEA', 5)
    await cancel('acme', ORDERS.voided)
    await call(payment, 'SELECT oms.void_payment($1, $2)', ['acme', ORDERS.voided])
    await verdict('acme', ORDERS.voided, 'voided')
    await release('acme', ORDERS.voided)

    await accept('acme', ORDERS.refunded, 'TEA', 5)
    await charge('acme', ORDERS.refunded, 'captured')
    await cancel('acme', ORDERS.refunded)
    await verdict('acme', ORDERS.refunded, 'captured')
    await call(payment, 'SELECT oms.begin_refund($1, $2, false)', ['acme', ORDERS.refunded])
    await call(payment, 'SELECT oms.finish_refund($1, $2, 1, true, $3)', [
      ...['acme', ORDERS.refunded, 're_acme_5'],
    ])
    await call(order, 'SELECT oms.apply_refunded($1, $2)', ['acme', ORDERS.refunded])
    await release('acme', ORDERS.refunded)

    // After a restore: inventory asks for an order that order-service does not know.
    await call(order, 'SELECT oms.reservation_verdict($1, $2)', ['globex', ORDERS.tombstone])
    await call(payment, 'SELECT oms.void_payment($1, $2)', ['globex', ORDERS.tombstone])
    await verdict('globex', ORDERS.tombstone, 'voided')
    await release('globex', ORDERS.tombstone)

    await publish('acme')
    await publish('globex')
  }
}

function healthyRecordings(): Recorded {
  const charge = (t: string, o: string, currency: string, status = 'succeeded'): Entry => ({
    id: `ch_${t}_${o.slice(-1)}`,
    idempotency_key: pspKey(t, o),
    merchant_reference: `oms:local:${t}:${o}`,
    amount: 500,
    currency,
    status,
  })
  const ack = (t: string, o: string, status: number): Ack => ({
    tenant_id: t,
    order_id: o,
    fingerprint: FP,
    amount_minor: 500,
    status,
  })
  const answer = (t: string, o: string, status: number): Answer => ({
    tenant_id: t,
    idempotency_key: o,
    order_id: o,
    status,
    body_sha256: `${status}`.padEnd(64, '0'),
  })
  return {
    charges: [
      charge('acme', ORDERS.confirmed, 'EUR'),
      charge('globex', ORDERS.confirmed, 'USD'),
      charge('acme', ORDERS.declined, 'EUR', 'declined'),
      charge('acme', ORDERS.refunded, 'EUR'),
    ],
    refunds: [
      {
        id: 're_acme_5',
        idempotency_key: pspKey('acme', ORDERS.refunded, 'r1'),
        merchant_reference: `oms:local:acme:${ORDERS.refunded}`,
        amount: 500,
        currency: 'EUR',
        status: 'succeeded',
        charge: 'ch_acme_5',
      },
    ],
    acks: [
      ack('acme', ORDERS.confirmed, 202),
      ack('acme', ORDERS.confirmed, 201),
      ack('globex', ORDERS.confirmed, 201),
      ack('acme', ORDERS.rejected, 409),
      ack('acme', ORDERS.declined, 402),
      ack('acme', ORDERS.refunded, 200),
    ],
    answers: [
      // A 202 on the way is no final answer.
      answer('acme', ORDERS.confirmed, 202),
      answer('acme', ORDERS.confirmed, 201),
      answer('acme', ORDERS.confirmed, 201),
      answer('globex', ORDERS.confirmed, 201),
      answer('acme', ORDERS.rejected, 409),
      answer('acme', ORDERS.declined, 402),
      answer('acme', ORDERS.voided, 409),
    ],
    gauges: { limiter_in_flight: 0, limiter_queued: 0, postgres_pool_busy: 0 },
  }
}

/** Planted rows break what the CHECKs forbid; the primary keys stay. */
async function dropChecks(pool: pg.Pool): Promise<void> {
  await pool.query(`DO $$ DECLARE c record; BEGIN
    FOR c IN SELECT conrelid::regclass AS place, conname FROM pg_constraint
              WHERE contype IN ('c', 'f') AND connamespace = 'oms'::regnamespace LOOP
      EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.place, c.conname);
    END LOOP; END $$`)
}

async function save(pool: pg.Pool): Promise<void> {
  await pool.query(`
    CREATE SCHEMA saved;
    DO $$ DECLARE t record; BEGIN
      FOR t IN SELECT schemaname, tablename FROM pg_tables
                WHERE schemaname IN ('oms', 'oms_audit') AND tablename NOT LIKE 'kysely%' LOOP
        EXECUTE format('CREATE TABLE saved.%1$I AS TABLE %2$I.%1$I', t.tablename, t.schemaname);
      END LOOP; END $$;
    CREATE PROCEDURE saved.restore() LANGUAGE plpgsql AS $$ DECLARE t record; BEGIN
      FOR t IN SELECT p.schemaname, p.tablename FROM pg_tables p JOIN pg_tables s
                 ON s.tablename = p.tablename AND s.schemaname = 'saved'
                WHERE p.schemaname IN ('oms', 'oms_audit') LOOP
        EXECUTE format('DELETE FROM %I.%I', t.schemaname, t.tablename);
        IF t.schemaname = 'oms' THEN
          EXECUTE format('ALTER TABLE oms.%I FORCE ROW LEVEL SECURITY', t.tablename);
          EXECUTE format('DROP POLICY IF EXISTS leak ON oms.%I', t.tablename);
        END IF;
        EXECUTE format('INSERT INTO %2$I.%1$I SELECT * FROM saved.%1$I', t.tablename, t.schemaname);
      END LOOP; END $$`)
}

/** The three URLs for another role, which may connect. */
export async function asRole(world: World, role: string): Promise<Record<string, string>> {
  const urls = Object.entries(world.env).map(([name, url]) => {
    const changed = new URL(url)
    changed.username = role
    return [name, changed.href] as const
  })
  for (const [, url] of urls)
    await world.order.query(
      `GRANT CONNECT ON DATABASE ${new URL(url).pathname.slice(1)} TO ${role}`,
    )
  return Object.fromEntries(urls)
}
