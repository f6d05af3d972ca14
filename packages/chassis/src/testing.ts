/** For tests only: one PostgreSQL a run, a fresh migrated database a file, an upstream that misbehaves on command. */
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Migration } from 'kysely/migration'
import pg from 'pg'
import { inject } from 'vitest'
import { openPool } from './pool.ts'
import { migrate } from './postgres.ts'
import { provisionDatabase } from './provision.ts'
import './testing-context.ts'

export const TEST_PASSWORD = 'test'

export interface TestDatabase {
  readonly name: string
  /** What a service's configuration needs, as its own role. */
  readonly config: { readonly DATABASE_URL: string; readonly DATABASE_PASSWORD_FILE: string }
  /** As superuser: sees every tenant. */
  readonly admin: pg.Pool
  /** As the service's own role, under its rights and limits. The caller ends it. */
  asService(connections: number): pg.Pool
  drop(): Promise<void>
}

/**
 * A database of `role`'s service, freshly migrated by its owner. A file makes one in beforeAll and drops it in afterAll.
 * @param role also the name of the service's database in production: `oms_shipping`.
 */
export async function createTestDatabase(
  role: string,
  migrations: Readonly<Record<string, Migration>>,
  { statementTimeoutMs = 1500 }: { readonly statementTimeoutMs?: number } = {},
): Promise<TestDatabase> {
  const base = inject('postgresUrl')
  const name = `${role}_${randomBytes(6).toString('hex')}`
  const folder = mkdtempSync(join(tmpdir(), 'oms-test-'))
  const passwordFile = join(folder, 'password')
  writeFileSync(passwordFile, TEST_PASSWORD)
  await provisionDatabase((database) => `${base}/${database}`, {
    role,
    database: name,
    servicePassword: TEST_PASSWORD,
    ownerPassword: TEST_PASSWORD,
    statementTimeoutMs,
  })
  const { host } = new URL(base)
  const url = (user: string): string => `postgres://${user}@${host}/${name}`
  await migrate(
    { DATABASE_URL: url(`${role}_owner`), DATABASE_PASSWORD_FILE: passwordFile, POOL_SIZE: 1 },
    migrations,
    () => undefined,
  )
  const admin = openPool({ connectionString: `${base}/${name}`, max: 4 })

  async function drop(): Promise<void> {
    await admin.end()
    const client = new pg.Client(`${base}/postgres`)
    await client.connect()
    await client.query(`DROP DATABASE ${name} WITH (FORCE)`)
    await client.end()
    rmSync(folder, { recursive: true })
  }

  return {
    name,
    config: { DATABASE_URL: url(role), DATABASE_PASSWORD_FILE: passwordFile },
    admin,
    asService(connections) {
      const own = new URL(url(role))
      own.password = TEST_PASSWORD
      return openPool({ connectionString: own.href, max: connections })
    },
    drop,
  }
}

export interface Received {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: unknown
}

export interface Upstream {
  readonly origin: string
  /** Everything that arrived, in order. */
  readonly received: Received[]
  /** Answers from now on. */
  answer(handler: (request: Received, response: ServerResponse) => void): void
  close(): Promise<void>
}

/** A real HTTP server whose answers the test chooses. */
export async function createUpstream(): Promise<Upstream> {
  let handle: (request: Received, response: ServerResponse) => void = (_request, response) => {
    response.writeHead(500).end()
  }
  const received: Received[] = []
  const server = createHttpServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString('utf8')
      const seen = {
        method: request.method ?? '',
        path: request.url ?? '',
        headers: request.headers,
        body: text === '' ? undefined : JSON.parse(text),
      }
      received.push(seen)
      handle(seen, response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    origin: `http://127.0.0.1:${port}`,
    received,
    answer(handler) {
      handle = handler
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Answers with JSON. */
export function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

/** Polls until `read` gives something; fails after `ms`, with what it waited for. */
export async function eventually<T>(
  what: string,
  read: () => Promise<T | undefined | false> | T | undefined | false,
  ms = 15_000,
): Promise<T> {
  const until = performance.now() + ms
  for (;;) {
    const value = await read()
    if (value !== undefined && value !== false) return value
    if (performance.now() > until) throw new Error(`waited ${ms} ms in vain: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}
