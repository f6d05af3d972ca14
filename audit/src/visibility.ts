/** Whether one tenant could read another's rows: what PostgreSQL records, and what the service's own role meets. */
import type { Query } from './database.ts'
import type { Visibility } from './evidence.ts'

/** No tenant's name: whoever sees a row under it sees every tenant's. */
const NOBODY = '-'

/** Row security as PostgreSQL records it, and as the service's role meets it. The last query of a snapshot. */
export async function readVisibility(query: Query, role: string): Promise<Visibility> {
  const tables = await query<{ name: string; forced: boolean; readable: boolean }>(
    `SELECT c.relname AS name, c.relrowsecurity AND c.relforcerowsecurity AS forced,
            coalesce(has_table_privilege(r.oid, c.oid, 'SELECT'), false) AS readable
       FROM pg_class c
       JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
       LEFT JOIN pg_roles r ON r.rolname = $1
      WHERE c.relnamespace = 'oms'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY c.relname`,
    [role],
  )
  const findings = tables
    .filter(({ forced }) => !forced)
    .map(({ name }) => ({ subject: `${role}.${name}`, why: 'row security is not forced' }))
  const [access] = await query<{ granted: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1 AND pg_has_role(oid, 'SET')) AS granted`,
    [role],
  )
  const readable = tables.filter((table) => table.readable)
  if (access?.granted !== true || readable.length === 0) return { probed: false, findings }
  await query('SET LOCAL row_security = on')
  await query(`SET LOCAL ROLE ${role}`)
  await query(`SELECT set_config('oms.tenant', $1, true)`, [NOBODY])
  const seen = await query<{ name: string }>(
    readable
      .map(({ name }) => `SELECT '${name}' AS name WHERE EXISTS (SELECT FROM oms."${name}")`)
      .join(' UNION ALL '),
  )
  const visible = seen.map(({ name }) => ({
    subject: `${role}.${name}`,
    why: `role ${role} sees rows of other tenants`,
  }))
  return { probed: true, findings: [...findings, ...visible] }
}
