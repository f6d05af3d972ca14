/** The textbook's three databases: one table a thing, no functions, no triggers, no row security. */
import { provisionDatabase } from '@oms/chassis/provision'
import pg from 'pg'

export const TEXTBOOK_SERVICES = ['order', 'payment', 'inventory'] as const
export type TextbookService = (typeof TEXTBOOK_SERVICES)[number]

const TABLES: Readonly<Record<TextbookService, string>> = {
  order: `
    CREATE TABLE oms.price (tenant_id text, sku text, currency text, unit_price_minor bigint NOT NULL,
      PRIMARY KEY (tenant_id, sku, currency));
    CREATE TABLE oms.orders (tenant_id text, order_id uuid, state text NOT NULL, reason text, currency text NOT NULL,
      amount_minor bigint NOT NULL, lines jsonb NOT NULL, payment_token text NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (tenant_id, order_id));
    CREATE INDEX orders_open ON oms.orders (updated_at) WHERE state NOT IN ('confirmed', 'rejected', 'declined');
    CREATE TABLE oms.outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant_id text NOT NULL,
      order_id uuid NOT NULL, type text NOT NULL, body jsonb NOT NULL);
    CREATE TABLE oms.order_event (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tenant_id text NOT NULL,
      order_id uuid NOT NULL, type text NOT NULL, body jsonb NOT NULL);`,
  payment: `
    CREATE TABLE oms.payment (tenant_id text, order_id uuid, state text NOT NULL, amount_minor bigint NOT NULL,
      currency text NOT NULL, psp_ref text, created_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (tenant_id, order_id));
    CREATE TABLE oms.ledger (tenant_id text, order_id uuid, debit text NOT NULL, credit text NOT NULL,
      amount_minor bigint NOT NULL, currency text NOT NULL, PRIMARY KEY (tenant_id, order_id));`,
  inventory: `
    CREATE TABLE oms.stock (tenant_id text, sku text, available bigint NOT NULL CHECK (available >= 0),
      reserved bigint NOT NULL DEFAULT 0, sold bigint NOT NULL DEFAULT 0, PRIMARY KEY (tenant_id, sku));
    CREATE TABLE oms.reservation (tenant_id text, order_id uuid, state text NOT NULL, lines jsonb NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (tenant_id, order_id));`,
}

export interface Catalogue {
  readonly tenant: string
  readonly skus: readonly string[]
  readonly unitPriceMinor: number
  readonly supplied: number
}

export interface TextbookDatabases {
  /** URL of a service's database as its own role. */
  url(service: TextbookService): string
}

/** Creates the databases, with the same roles and limits as ours, and fills the catalogue. */
export async function prepareTextbook(
  superuserUrl: (database: string) => string,
  password: string,
  catalogue: Catalogue,
  databaseOf: (service: TextbookService) => string = (service) => `textbook_${service}`,
): Promise<TextbookDatabases> {
  for (const service of TEXTBOOK_SERVICES) {
    const role = `textbook_${service}`
    const database = databaseOf(service)
    await provisionDatabase(superuserUrl, {
      database,
      role,
      servicePassword: password,
      ownerPassword: password,
      statementTimeoutMs: 1500,
    })
    const admin = new pg.Client(superuserUrl(database))
    await admin.connect()
    await admin.query(TABLES[service])
    await admin.query(`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA oms TO ${role}`)
    await fill(admin, service, catalogue)
    await admin.end()
  }
  return {
    url(service) {
      const url = new URL(superuserUrl(databaseOf(service)))
      url.username = `textbook_${service}`
      url.password = password
      return url.href
    },
  }
}

async function fill(
  admin: pg.Client,
  service: TextbookService,
  { tenant, skus, unitPriceMinor, supplied }: Catalogue,
): Promise<void> {
  if (service === 'order')
    await admin.query(
      "INSERT INTO oms.price SELECT $1, sku, 'EUR', $3 FROM unnest($2::text[]) sku",
      [tenant, skus, unitPriceMinor],
    )
  if (service === 'inventory')
    await admin.query(
      'INSERT INTO oms.stock (tenant_id, sku, available) SELECT $1, sku, $3 FROM unnest($2::text[]) sku',
      [tenant, skus, supplied],
    )
}
