/** A whole program on the chassis, for the tests of its start and stop: run by Node as it is. */
import { sql } from 'kysely'
import type { Migration } from 'kysely/migration'
import { every, run } from '../src/lifecycle.ts'
import { createPostgres, migrate } from '../src/postgres.ts'
import { createServer } from '../src/server.ts'
import { OPTIONS } from './options.ts'

const migrations: Readonly<Record<string, Migration>> = {
  '001-thing': {
    async up(db) {
      await sql`CREATE TABLE oms.thing (id integer PRIMARY KEY)`.execute(db)
      await sql`GRANT SELECT ON oms.thing TO PUBLIC`.execute(db)
    },
  },
}

const config = {
  DATABASE_URL: String(process.env['DATABASE_URL']),
  DATABASE_PASSWORD_FILE: String(process.env['DATABASE_PASSWORD_FILE']),
  POOL_SIZE: 2,
  HOST: '127.0.0.1',
  PORT: Number(process.env['PORT']),
  DRAIN_DELAY_MS: Number(process.env['DRAIN_DELAY_MS'] ?? 0),
}

if (process.argv[2] === 'migrate') await migrate(config, migrations)
else {
  const server = createServer({ ...OPTIONS, logStream: process.stdout })
  const postgres = createPostgres(server, config, migrations)
  let waiting = 0
  server.get('/count', async () => ({
    waiting,
    things: await postgres.one({ name: 'count', text: 'SELECT count(*) FROM oms.thing' }, []),
  }))
  server.get('/slow', async () => {
    waiting++
    await new Promise((resolve) => setTimeout(resolve, 800))
    // The database outlives the last request.
    return postgres.one({ name: 'count', text: 'SELECT count(*) FROM oms.thing' }, [])
  })
  if (process.env['BOOT'] === 'schema')
    server.get('/broken', { schema: { response: { 200: { type: 'nonsense' } } } }, async () => ({}))
  every(server, { name: 'looks', ms: 20, deadlineMs: 100, maxPermits: 1 }, async () => 0)
  server.chassis.handBack.push(async () => void process.stdout.write('handed back\n'))
  server.chassis.closers.push(async () => void process.stdout.write('closed\n'))
  if (process.env['BOOT'] === 'breaks') {
    // As a statement that waits when the stop takes the database away.
    const { promise, reject } = Promise.withResolvers<void>()
    server.chassis.boot.push(() => {
      process.stdout.write('boot waits\n')
      return promise
    })
    server.chassis.handBack.push(async () => reject(new Error('taken away')))
  }
  await run(server, config)
}
