/** For tests only: the layers that keep tenants apart, taken away one by one (protocol.md, section 7). */
import type pg from 'pg'

export type Admin = Pick<pg.Pool, 'query'>

/** Puts a layer back. */
export type Restore = () => Promise<void>

/** Tables of the service, which all have a tenant; the migrator's own have none. */
export async function tablesOf(admin: Admin): Promise<readonly string[]> {
  const { rows } = await admin.query(
    `SELECT relname AS name FROM pg_class
      WHERE relnamespace = 'oms'::regnamespace AND relkind IN ('r', 'p') AND relname NOT LIKE 'kysely%' ORDER BY 1`,
  )
  return rows.map(({ name }) => name)
}

/** Every row of a tenant, or of all, as text in a fixed order. */
export async function rowsOf(
  admin: Admin,
  tables: readonly string[],
  tenant?: string,
): Promise<readonly string[]> {
  const { rows } = await admin.query(
    `${tables.map((table) => `SELECT '${table} ' || to_jsonb(t)::text AS row FROM oms.${table} t WHERE $1::text IS NULL OR tenant_id = $1`).join(' UNION ALL ')} ORDER BY 1`,
    [tenant ?? null],
  )
  return rows.map(({ row }) => row)
}

/** The second layer away. */
export async function withoutRowSecurity(
  admin: Admin,
  tables: readonly string[],
): Promise<Restore> {
  const alter = async (how: 'ENABLE' | 'DISABLE') => {
    for (const table of tables)
      await admin.query(`ALTER TABLE oms.${table} ${how} ROW LEVEL SECURITY`)
  }
  await alter('DISABLE')
  return () => alter('ENABLE')
}

/** The third layer away: cuts the tenant's condition out of every function that is told a tenant. */
export async function withoutConditions(admin: Admin): Promise<Restore> {
  const { rows } = await admin.query(
    `SELECT pg_get_functiondef(oid) AS text FROM pg_proc
      WHERE pronamespace = 'oms'::regnamespace AND 'p_t' = ANY(proargnames)`,
  )
  const texts: readonly string[] = rows.map(({ text }) => text)
  const cut = texts.map((text) => text.replaceAll(/(?:\b\w+\.)?tenant_id = p_t\b/g, 'true'))
  const left = cut.filter((text) => text.includes('tenant_id ='))
  if (left.length > 0 || cut.every((text, i) => text === texts[i]))
    throw new Error(`the tenant's condition is not written "tenant_id = p_t": ${left.join('\n')}`)
  for (const text of cut) await admin.query(text)
  return async () => {
    for (const text of texts) await admin.query(text)
  }
}
