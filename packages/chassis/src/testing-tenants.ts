/** For tests only: whose rows are whose, with every layer and with each alone; and what the service's role may do. */
import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { Answer, Ground } from './testing-ground.ts'
import {
  type Admin,
  type Restore,
  withoutConditions,
  withoutRowSecurity,
} from './testing-layers.ts'

const BAD_TENANTS: readonly [string | null, string][] = [
  [null, '401 tenant-missing'],
  ['', '401 tenant-missing'],
  ['acme, globex', '400 invalid-request'],
  ['acme,globex', '400 invalid-request'],
  ['acme, acme', '400 invalid-request'],
  ['ACME', '400 invalid-request'],
  ['acme-', '400 invalid-request'],
  ['a'.repeat(64), '400 invalid-request'],
  ["a' OR '1'='1", '400 invalid-request'],
  ['%', '400 invalid-request'],
]

export function describeTenants(ground: () => Ground): void {
  test('a tenant that is missing, doubled or none is refused on every route', () => {
    const { service, send, refused } = ground()
    return refused(
      Object.entries(service.routes).flatMap(([name, { call }]) =>
        BAD_TENANTS.map(([tenant, as]) => ({
          what: `${name} as ${tenant}`,
          as,
          answer: () => send(call(randomUUID()), tenant),
        })),
      ),
    )
  })

  describe('another tenant’s id', () => {
    test('is answered on every route as an id that nobody has', async () => {
      expect(await differences(ground(), Object.keys(ground().service.owned))).toEqual([])
    })

    test('is so by row security alone, with the tenant cut out of every condition', async () => {
      expect(await differencesWithout(ground(), [withoutConditions])).toEqual([])
    })

    test('is so by the conditions alone, with row security off', async () => {
      expect(await differencesWithout(ground(), [withoutRowSecurity])).toEqual([])
    })

    test('is not so without both: this check sees what they hide', async () => {
      const found = await differencesWithout(ground(), [withoutRowSecurity, withoutConditions])
      expect(found.length).toBeGreaterThan(1)
    })

    test('is another row by the keys alone: each unique index leads with the tenant', async () => {
      const { database, tables } = ground()
      const { rows } = await database.admin.query(`
        SELECT c.relname AS table, a.attname AS leads, i.indisprimary AS primary
          FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
         WHERE c.relnamespace = 'oms'::regnamespace AND i.indisunique AND c.relname NOT LIKE 'kysely%'`)
      expect(rows.filter(({ leads }) => leads !== 'tenant_id')).toEqual([])
      const keyed = rows.filter(({ primary }) => primary).map(({ table }) => table)
      expect(keyed.toSorted()).toEqual(tables)
    })

    test('stays hidden in every table: row security is on and forced, and the role is under it', async () => {
      const { service, database, tables } = ground()
      const { rows: secured } = await database.admin.query(
        `SELECT relname AS name FROM pg_class WHERE relnamespace = 'oms'::regnamespace
            AND relkind IN ('r', 'p') AND relrowsecurity AND relforcerowsecurity ORDER BY 1`,
      )
      expect(secured.map(({ name }) => name)).toEqual(tables)
      const { rows: roles } = await database.admin.query(
        'SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = $1',
        [service.role],
      )
      expect(roles).toEqual([{ rolsuper: false, rolbypassrls: false }])
    })
  })

  test('the service’s role changes no table, function, role or database', async () => {
    const { service, database, tables } = ground()
    const { rows: functions } = await database.admin.query(
      `SELECT oid::regprocedure::text AS name FROM pg_proc WHERE pronamespace = 'oms'::regnamespace`,
    )
    const statements = [
      ...tables.flatMap(changesOfTable),
      ...functions.flatMap(({ name }) => [
        `DROP FUNCTION ${name}`,
        `ALTER FUNCTION ${name} COST 1`,
      ]),
      ...changesOfAll(service.role),
    ]
    const pool = database.asService(1)
    const own = await pool.connect()
    const done: string[] = []
    for (const statement of statements) {
      const code = await own.query(statement).then(
        () => 'done',
        (error: { code?: string }) => error.code,
      )
      if (code !== '42501') done.push(`${statement}: ${code}`)
    }
    own.release()
    await pool.end()
    expect(done).toEqual([])
  })
}

/** `differences` while these layers are away; they are put back whatever happens. */
async function differencesWithout(
  ground: Ground,
  layers: readonly ((admin: Admin, tables: readonly string[]) => Promise<Restore>)[],
): Promise<readonly string[]> {
  const restores: Restore[] = []
  try {
    for (const takeAway of layers)
      restores.push(await takeAway(ground.database.admin, ground.tables))
    return await differences(ground)
  } finally {
    for (const restore of restores.reverse()) await restore()
  }
}

/** Whatever differs between an id of another tenant and one that nobody has, and whatever of theirs changed. */
async function differences(
  { service, rows, send }: Ground,
  states: readonly string[] = Object.keys(service.owned).slice(0, 1),
): Promise<readonly string[]> {
  const found: string[] = []
  for (const state of states)
    for (const [name, { call, foreign = 404 }] of Object.entries(service.routes)) {
      const what = `${name} about one that is ${state}`
      const [theirs, nobodys] = [randomUUID(), randomUUID()]
      for (const each of service.owned[state]?.(theirs) ?? []) await send(each)
      const before = await rows('acme')
      const answer = await send(call(theirs), 'globex')
      const expected = await send(call(nobodys), 'globex')
      if (answer.statusCode !== foreign) found.push(`${what}: ${answer.statusCode}`)
      if (plain(answer, theirs) !== plain(expected, nobodys)) found.push(`${what}: ${answer.body}`)
      if (name.startsWith('GET') && answer.statusCode === 200) {
        const own = new Set(idsIn((await rows('globex')).join()))
        for (const id of idsIn(answer.body)) if (!own.has(id)) found.push(`${what}: shows ${id}`)
      }
      if ((await rows('acme')).join() !== before.join()) found.push(`${what}: changed`)
    }
  return found
}

/** An answer without what differs between any two requests: its id, its times, its trace. */
function plain({ statusCode, headers, body }: Answer, id: string): string {
  const { date, 'x-trace-id': trace, ...others } = headers
  return JSON.stringify([statusCode, others, body])
    .replaceAll(id, 'ID')
    .replaceAll(id.toUpperCase(), 'ID')
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
}

function idsIn(text: string): readonly string[] {
  return text.toLowerCase().match(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g) ?? []
}

const changesOfTable = (table: string): readonly string[] => [
  `ALTER TABLE oms.${table} ADD COLUMN mine int`,
  `ALTER TABLE oms.${table} DISABLE ROW LEVEL SECURITY`,
  `ALTER TABLE oms.${table} NO FORCE ROW LEVEL SECURITY`,
  `ALTER TABLE oms.${table} DISABLE TRIGGER ALL`,
  `CREATE POLICY mine ON oms.${table} USING (true)`,
  `CREATE INDEX ON oms.${table} (tenant_id)`,
  `DROP TABLE oms.${table}`,
  `TRUNCATE oms.${table}`,
]

const changesOfAll = (role: string): readonly string[] => [
  'CREATE TABLE oms.mine (id int)',
  'CREATE TABLE public.mine (id int)',
  'CREATE TEMPORARY TABLE mine (id int)',
  'CREATE FUNCTION oms.mine() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$',
  'CREATE SCHEMA mine',
  'CREATE DATABASE mine',
  'CREATE ROLE mine',
  'DROP SCHEMA oms CASCADE',
  `ALTER ROLE ${role} BYPASSRLS`,
  `SET ROLE ${role}_owner`,
  `SET ROLE ${role}_sweeper`,
  "SELECT pg_read_file('/etc/passwd')",
  "COPY (SELECT 1) TO PROGRAM 'true'",
]
