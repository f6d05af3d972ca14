import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import {
  connect,
  createServer as createTcpServer,
  type Socket,
  type Server as TcpServer,
} from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Busy, Overloaded, Unavailable } from '@oms/problem/http-problems'
import { sql } from 'kysely'
import type { Migration } from 'kysely/migration'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest'
import { freePort, startEmbeddedPostgres } from '../src/embedded-postgres.ts'
import { createPostgres, migrate, type Postgres } from '../src/postgres.ts'
import { provisionDatabase } from '../src/provision.ts'
import { createTestDatabase, eventually, type TestDatabase } from '../src/testing.ts'
import { startService, type TestService } from './service.ts'

const POOL_SIZE = 2
const ROLE = 'oms_chassis'

const migrations: Readonly<Record<string, Migration>> = {
  '001-thing': {
    async up(db) {
      await sql`CREATE TABLE oms.thing (id integer PRIMARY KEY, word text NOT NULL CHECK (word <> 'bad'))`.execute(
        db,
      )
      await sql.raw(`GRANT SELECT, INSERT, UPDATE ON oms.thing TO ${ROLE}`).execute(db)
    },
  },
  '002-more': {
    async up(db) {
      await sql`INSERT INTO oms.thing VALUES (1, 'one'), (2, 'two')`.execute(db)
    },
  },
}

let database: TestDatabase
let service: TestService
let postgres: Postgres
/** Of a service that a single test makes. */
let postgresOf: Postgres

beforeAll(async () => {
  database = await createTestDatabase(ROLE, migrations)
  service = await startService((server) => {
    postgres = createPostgres(server, { ...database.config, POOL_SIZE }, migrations)
    server.get('/answers/:name', async (request) => {
      const { name } = request.params as { name: string }
      return { rows: await postgres.call({ name, text: texts[name] ?? '' }, []) }
    })
  })
})

// A busy machine may take longer than a caller waits to make the first connection.
beforeAll(() => eventually('a connection', () => call('one').catch(() => undefined)))

afterAll(async () => {
  await service.stop()
  await database.drop()
})

const texts: Record<string, string> = {
  slow: 'SELECT pg_sleep(10)',
  lock: "UPDATE oms.thing SET word = 'locked' WHERE id = 1 RETURNING id",
  wrong: 'SELECT * FROM oms.no_such_table',
  bad: "INSERT INTO oms.thing VALUES (9, 'bad')",
  one: 'SELECT 1 AS n',
}

const call = (name: string) => postgres.call<{ n: number }>({ name, text: texts[name] ?? '' }, [])

/** Backends of the service's role in this database. */
const backends = async (where = 'true'): Promise<readonly { pid: number }[]> => {
  const { rows } = await database.admin.query(
    `SELECT pid FROM pg_stat_activity WHERE usename = $1 AND datname = $2 AND ${where}`,
    [ROLE, database.name],
  )
  return rows
}

describe('a statement', () => {
  test('is prepared under its name, once a connection', async () => {
    const statement = {
      name: 'prepared_once',
      text: 'SELECT count(*)::int AS n FROM pg_prepared_statements WHERE name = $1',
    }
    for (let i = 0; i < 3; i++)
      expect(await postgres.one(statement, ['prepared_once'])).toEqual({ n: 1 })
  })

  test('gives its values as data, whatever they say', async () => {
    const nasty = `'; DROP TABLE oms.thing; --\n"\\`
    const row = await postgres.one({ name: 'echo', text: 'SELECT $1::text AS v' }, [nasty])
    expect(row).toEqual({ v: nasty })
  })

  test('that must return a row and does not is a bug', async () => {
    const none = postgres.one({ name: 'none', text: 'SELECT 1 WHERE false' }, [])
    await expect(none).rejects.toThrow('none returned no row')
  })

  test('runs on a connection that names the service', async () => {
    await call('one')
    expect(await backends("application_name = 'thing-service'")).not.toHaveLength(0)
  })

  test('runs under the limits of its role', async () => {
    const settings = {
      lock_timeout: '400ms',
      statement_timeout: '1500ms',
      transaction_timeout: '3s',
      idle_in_transaction_session_timeout: '5s',
      client_connection_check_interval: '1s',
      synchronous_commit: 'on',
    }
    for (const [name, value] of Object.entries(settings)) {
      const row = await postgres.one(
        { name: `show_${name}`, text: `SELECT current_setting('${name}') AS v` },
        [],
      )
      const ms = (text: unknown) => String(text).replace(/^(\d+)s$/, (_all, s) => `${s}000ms`)
      expect(ms((row as { v: string }).v)).toBe(ms(value))
    }
  })
})

/** A service, `postgresOf` its database, whose one connection comes by this server. */
async function behind(wire: TcpServer): Promise<TestService> {
  await new Promise<void>((resolve) => wire.listen(0, '127.0.0.1', resolve))
  const through = new URL(database.config.DATABASE_URL)
  through.port = String((wire.address() as { port: number }).port)
  return startService((server) => {
    postgresOf = createPostgres(
      server,
      { ...database.config, DATABASE_URL: through.href, POOL_SIZE: 1 },
      {},
    )
  })
}

describe('what became of a try', () => {
  test('is not known where the lock did not come free: 409 busy, on a connection that lives on', async () => {
    const holder = await database.admin.connect()
    await holder.query('BEGIN')
    await holder.query('SELECT FROM oms.thing WHERE id = 1 FOR UPDATE')
    await Promise.all([call('one'), call('one')])
    const before = (await backends()).map(({ pid }) => pid).sort()
    await expect(call('lock')).rejects.toBeInstanceOf(Busy)
    expect((await service.get('/answers/lock')).status).toBe(409)
    await holder.query('ROLLBACK')
    holder.release()
    await Promise.all([call('one'), call('one')])
    expect((await backends()).map(({ pid }) => pid).sort()).toEqual(before)
  })

  test('is not known where the statement ran out of time: 409 busy', async () => {
    const answer = await service.get('/answers/slow')
    expect(answer.status).toBe(409)
    expect(await answer.json()).toMatchObject({
      type: 'https://oms.example/problems/busy',
      outcome: 'unknown',
    })
    expect(answer.headers.get('retry-after')).toBe('1')
  })

  test('is not known to the loser of a deadlock: 409 busy', async () => {
    const crossed = { name: 'crossed', text: 'SELECT oms_cross()' }
    // Two locks in two orders; lock_timeout is off, so that the deadlock is found.
    await database.admin.query(`
      CREATE FUNCTION public.oms_cross(a integer, b integer) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
        PERFORM set_config('lock_timeout', '0', true);
        PERFORM FROM oms.thing WHERE id = a FOR UPDATE;
        PERFORM pg_sleep(0.2);
        PERFORM FROM oms.thing WHERE id = b FOR UPDATE;
      END $$; GRANT USAGE ON SCHEMA public TO ${ROLE}`)
    const cross = (a: number, b: number) =>
      postgres.call({ ...crossed, text: 'SELECT public.oms_cross($1, $2)' }, [a, b])
    const ends = await Promise.allSettled([cross(1, 2), cross(2, 1)])
    const lost = ends.filter((end) => end.status === 'rejected')
    expect(lost).toHaveLength(1)
    expect(lost[0]?.reason).toBeInstanceOf(Busy)
  })

  test('is nothing where every connection is busy: 429, even with a single caller waiting', async () => {
    const busy = Array.from({ length: POOL_SIZE }, () => call('slow').catch(() => undefined))
    await eventually(
      'all connections work',
      async () => (await backends("state = 'active'")).length === POOL_SIZE,
    )
    const started = performance.now()
    await expect(call('one')).rejects.toBeInstanceOf(Overloaded)
    expect(performance.now() - started).toBeLessThan(1000)
    await Promise.all(busy)
    expect(await call('one')).toEqual([{ n: 1 }])
  })

  test('is done where its connection came free while the process stood still', async () => {
    await Promise.all([call('one'), call('one')])
    const short = { name: 'short', text: 'SELECT pg_sleep(0.1)' }
    const busy = Array.from({ length: POOL_SIZE }, () => postgres.call(short, []))
    const waiting = call('one')
    // Sent on the next turn, answered while nothing is read.
    await new Promise((resolve) => setImmediate(resolve))
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500)
    expect(await waiting).toEqual([{ n: 1 }])
    await Promise.all(busy)
  })

  test('is not known where the connection broke amid it: 503, and the next statement runs', async () => {
    const broken = call('slow')
    const expectation = expect(broken).rejects.toBeInstanceOf(Unavailable)
    const [victim] = await eventually('it runs', async () => {
      const found = await backends("state = 'active' AND query LIKE '%pg_sleep%'")
      return found.length > 0 && found
    })
    await database.admin.query('SELECT pg_terminate_backend($1)', [victim?.pid])
    await expectation
    expect(await call('one')).toEqual([{ n: 1 }])
  })

  test('is well where idle connections broke in between', async () => {
    await Promise.all([call('one'), call('one')])
    const idle = await backends()
    const lost = () => service.log.filter((line) => line.includes('idle connection lost')).length
    const before = lost()
    for (const { pid } of idle) await database.admin.query('SELECT pg_terminate_backend($1)', [pid])
    await eventually('the pool saw them', () => lost() === before + idle.length)
    expect(await call('one')).toEqual([{ n: 1 }])
  })

  test.each(['wrong', 'bad'])(
    'of a statement that is a bug (%s) is 500, without its text',
    async (name) => {
      await expect(call(name)).rejects.toThrow(`statement ${name} failed`)
      const answer = await service.get(`/answers/${name}`)
      expect(answer.status).toBe(500)
      expect(await answer.text()).not.toMatch(/oms\.(thing|no_such)|relation|violates/)
    },
  )

  test('puts no row into the log where the database quotes one', async () => {
    await service.get('/answers/bad')
    await eventually('the line', () => service.log.some((line) => line.includes('violates check')))
    expect(service.log.join('')).not.toContain('(9, bad)')
  })

  test.each([
    ['breaks without a word', 'cut'],
    ['falls silent', 'silence'],
  ] as const)('is not known, 503, where the connection %s', async (_what, how) => {
    const target = new URL(database.config.DATABASE_URL)
    const pairs: { near: Socket; far: Socket }[] = []
    const wire = createTcpServer((near) => {
      const far = connect(Number(target.port), target.hostname)
      for (const end of [near, far]) end.on('error', () => undefined)
      near.pipe(far).pipe(near)
      pairs.push({ near, far })
    })
    const own = await behind(wire)
    const one = () => postgresOf.call({ name: 'one', text: 'SELECT 1 AS n' }, [])
    await eventually('a connection', () => one().catch(() => undefined))
    const { near, far } = pairs.at(-1) as { near: Socket; far: Socket }
    if (how === 'silence') {
      far.unpipe(near)
      far.resume()
    }
    const broken = expect(
      postgresOf.call({ name: 'sleep', text: 'SELECT pg_sleep(1)' }, []),
    ).rejects.toBeInstanceOf(Unavailable)
    await eventually(
      'it runs',
      async () => (await backends("state = 'active' AND query LIKE '%pg_sleep(1)%'")).length > 0,
    )
    if (how === 'cut') near.destroy()
    await broken
    expect(await eventually('the next', () => one().catch(() => undefined))).toEqual([{ n: 1 }])
    await own.stop()
    for (const pair of pairs) for (const end of [pair.near, pair.far]) end.destroy()
    await new Promise((resolve) => wire.close(resolve))
  })

  test('is 503 where a connection takes longer than a caller waits, and the next caller has it', async () => {
    const target = new URL(database.config.DATABASE_URL)
    const sockets: Socket[] = []
    const slow = createTcpServer((near) => {
      sockets.push(near.on('error', () => undefined))
      setTimeout(() => {
        const far = connect(Number(target.port), target.hostname)
        sockets.push(far.on('error', () => undefined))
        near.pipe(far).pipe(near)
      }, 600)
    })
    const own = await behind(slow)
    const one = () => postgresOf.call({ name: 'one', text: 'SELECT 1 AS n' }, [])
    await expect(one()).rejects.toBeInstanceOf(Unavailable)
    expect(await eventually('the next', () => one().catch(() => undefined))).toEqual([{ n: 1 }])
    // One way in and one out: it was made once.
    expect(sockets).toHaveLength(2)
    await own.stop()
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => slow.close(resolve))
  })

  test('is not known, 503, where the database cannot be reached', async () => {
    const port = await freePort()
    const far = await startService((server) => {
      postgresOf = createPostgres(
        server,
        { DATABASE_URL: `postgres://${ROLE}@127.0.0.1:${port}/x`, POOL_SIZE: 1 },
        {},
      )
    })
    const both = await Promise.allSettled([
      postgresOf.call({ name: 'one', text: 'SELECT 1' }, []),
      postgresOf.call({ name: 'one', text: 'SELECT 1' }, []),
    ])
    for (const end of both)
      expect((end as PromiseRejectedResult).reason).toBeInstanceOf(Unavailable)
    await far.stop()
  })
})

describe('boot', () => {
  const started: TestService[] = []
  afterEach(async () => {
    for (const each of started.splice(0)) await each.stop()
  })

  /** Boots a service against `url`; resolves once it would be ready. */
  async function boot(
    url: string,
    wanted = migrations,
    { poolSize = 1, serviceName = 'thing-service' } = {},
  ): Promise<void> {
    const own = await startService(
      (server) =>
        void createPostgres(
          server,
          {
            DATABASE_URL: url,
            DATABASE_PASSWORD_FILE: database.config.DATABASE_PASSWORD_FILE,
            POOL_SIZE: poolSize,
          },
          wanted,
        ),
      { serviceName },
    )
    started.push(own)
    own.server.chassis.phase = 'starting'
    for (const step of own.server.chassis.boot) await step()
  }

  const as = (role: string) => database.config.DATABASE_URL.replace(`//${ROLE}@`, `//${role}@`)

  test('is done where the schema is there', () => boot(as(ROLE)))

  test('ends with every connection made', async () => {
    await boot(as(ROLE), migrations, { poolSize: 3, serviceName: 'warm-service' })
    await eventually(
      'three of its own',
      async () => (await backends("application_name = 'warm-service'")).length === 3,
    )
  })

  test('accepts a schema one release ahead', () =>
    boot(as(ROLE), { '001-thing': migrations['001-thing'] as Migration }))

  test('refuses a superuser', async () => {
    await expect(boot(`${inject('postgresUrl')}/${database.name}`)).rejects.toThrow(
      /superuser or has BYPASSRLS/,
    )
  })

  test('refuses the owner of the tables', async () => {
    await expect(boot(as(`${ROLE}_owner`))).rejects.toThrow(/owns the tables/)
  })

  test('refuses a role with BYPASSRLS', async () => {
    await database.admin.query(`ALTER ROLE ${ROLE} BYPASSRLS`)
    try {
      await expect(boot(as(ROLE))).rejects.toThrow(/BYPASSRLS/)
    } finally {
      await database.admin.query(`ALTER ROLE ${ROLE} NOBYPASSRLS`)
    }
  })

  test('refuses a role that would not wait for the disk', async () => {
    await database.admin.query(
      `ALTER ROLE ${ROLE} IN DATABASE ${database.name} SET synchronous_commit = off`,
    )
    try {
      await expect(boot(as(ROLE))).rejects.toThrow(/synchronous_commit is off/)
    } finally {
      await database.admin.query(
        `ALTER ROLE ${ROLE} IN DATABASE ${database.name} RESET synchronous_commit`,
      )
    }
  })

  test('refuses a server without fsync and full_page_writes, and names every reason', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'oms-unsafe-'))
    chmodSync(folder, 0o755)
    const unsafe = await startEmbeddedPostgres({
      dataDir: join(folder, 'data'),
      port: await freePort(),
      superuserPassword: 'test',
      settings: ['fsync=off', 'full_page_writes=off'],
    })
    const refused = boot(unsafe.url('postgres'))
    await expect(refused).rejects.toThrow(
      /fsync is off.*full_page_writes is off|full_page_writes is off.*fsync is off/,
    )
    await expect(refused).rejects.toThrow(/superuser/)
    for (const each of started.splice(0)) await each.stop()
    await unsafe.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  test('waits while the migrations are under way and their table cannot be read yet', async () => {
    await database.admin.query('REVOKE SELECT ON oms.kysely_migration FROM PUBLIC')
    let ready = false
    const booting = boot(as(ROLE)).then(() => {
      ready = true
    })
    await eventually('it waits', () =>
      started.at(-1)?.log.some((line) => line.includes('waiting for the schema')),
    )
    expect(ready).toBe(false)
    await database.admin.query('GRANT SELECT ON oms.kysely_migration TO PUBLIC')
    await booting
  })
})

describe('migrations', () => {
  test('started three times at once are applied once each', async () => {
    const fresh = await createTestDatabase(ROLE, {})
    const owner = {
      ...fresh.config,
      DATABASE_URL: fresh.config.DATABASE_URL.replace(`//${ROLE}@`, `//${ROLE}_owner@`),
      POOL_SIZE: 1,
    }
    const told: string[] = []
    await Promise.all(
      Array.from({ length: 3 }, () => migrate(owner, migrations, (line) => void told.push(line))),
    )
    expect(told.sort()).toEqual(['migration 001-thing: success', 'migration 002-more: success'])
    // With nothing left to do they all grant at the same moment.
    await Promise.all(
      Array.from({ length: 12 }, () => migrate(owner, migrations, (line) => void told.push(line))),
    )
    expect(told).toHaveLength(2)
    const { rows } = await fresh.admin.query('SELECT name FROM oms.kysely_migration ORDER BY name')
    expect(rows).toEqual([{ name: '001-thing' }, { name: '002-more' }])
    await fresh.drop()
  })

  test('that fail leave nothing behind and say which', async () => {
    const fresh = await createTestDatabase(ROLE, {})
    const owner = {
      ...fresh.config,
      DATABASE_URL: fresh.config.DATABASE_URL.replace(`//${ROLE}@`, `//${ROLE}_owner@`),
      POOL_SIZE: 1,
    }
    const told: string[] = []
    const broken = {
      ...migrations,
      '003-broken': { up: async () => Promise.reject(new Error('no')) },
    }
    await expect(migrate(owner, broken, (line) => void told.push(line))).rejects.toThrow('no')
    expect(told).toContain('migration 003-broken: error')
    const { rows } = await fresh.admin.query("SELECT to_regclass('oms.thing') AS found")
    expect(rows).toEqual([{ found: null }])
    await fresh.drop()
  })
})

describe('provisioning', () => {
  const url = (name: string) => `${inject('postgresUrl')}/${name}`
  const options = {
    database: 'oms_provision',
    servicePassword: `a$b'c"d\\$$ %41`,
    ownerPassword: 'owner',
    statementTimeoutMs: 700,
  }

  afterAll(async () => {
    await database.admin.query('DROP DATABASE oms_provision WITH (FORCE)')
  })

  test('may run twice and several times at once', async () => {
    await Promise.all(Array.from({ length: 4 }, () => provisionDatabase(url, options)))
    await provisionDatabase(url, options)
    const { rows } = await database.admin.query(
      "SELECT rolname, rolcanlogin, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname LIKE 'oms\\_provision%' ORDER BY rolname",
    )
    const none = { rolsuper: false, rolbypassrls: false, rolcreatedb: false, rolcreaterole: false }
    expect(rows).toEqual([
      { rolname: 'oms_provision', rolcanlogin: true, ...none },
      { rolname: 'oms_provision_owner', rolcanlogin: true, ...none },
      { rolname: 'oms_provision_sweeper', rolcanlogin: false, ...none },
    ])
  })

  test('takes a password as it is, from a file with an editor’s newline', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'oms-secret-'))
    const file = join(folder, 'password')
    writeFileSync(file, `${options.servicePassword}\n`)
    const own = await startService((server) => {
      postgresOf = createPostgres(
        server,
        {
          DATABASE_URL: url('oms_provision').replace(/\/\/.*@/, '//oms_provision@'),
          DATABASE_PASSWORD_FILE: file,
          POOL_SIZE: 1,
        },
        {},
      )
    })
    const row = await postgresOf.one(
      {
        name: 'who',
        text: "SELECT current_user::text AS who, current_setting('statement_timeout') AS ms",
      },
      [],
    )
    expect(row).toEqual({ who: 'oms_provision', ms: '700ms' })
    await own.stop()
    rmSync(folder, { recursive: true })
  })

  test.each([
    'CREATE TABLE oms.mine (id integer)',
    'CREATE TABLE public.mine (id integer)',
    'CREATE TEMPORARY TABLE mine (id integer)',
    'CREATE SCHEMA mine',
    'ALTER ROLE oms_provision SUPERUSER',
    'SET ROLE oms_provision_owner',
    'SET ROLE oms_provision_sweeper',
  ])('gives the service no right to %s', async (text) => {
    const client = new pg.Client({
      ...parts(url('oms_provision')),
      user: 'oms_provision',
      password: options.servicePassword,
    })
    await client.connect()
    await expect(client.query(text)).rejects.toMatchObject({ code: '42501' })
    await client.end()
  })

  test("keeps each service out of the other's database", async () => {
    const client = new pg.Client({
      ...parts(url(database.name)),
      user: 'oms_provision',
      password: options.servicePassword,
    })
    await expect(client.connect()).rejects.toMatchObject({ code: '42501' })
  })

  function parts(text: string): { host: string; port: number; database: string } {
    const { hostname, port, pathname } = new URL(text)
    return { host: hostname, port: Number(port), database: pathname.slice(1) }
  }
})
