/** For tests only: a service on a database of its own, attacked on every route it has. */
import { randomUUID } from 'node:crypto'
import type { Migration } from 'kysely/migration'
import { expect } from 'vitest'
import { stopOnce } from './lifecycle.ts'
import type { Server, ServerOptions } from './server.ts'
import { createTestDatabase, createUpstream, type TestDatabase, type Upstream } from './testing.ts'
import { addressesOf, type Call, headersOf, leavesOf, type Place } from './testing-calls.ts'
import { rowsOf, tablesOf } from './testing-layers.ts'

export interface Route {
  /** A good request that says everything the route takes. */
  readonly call: (id: string) => Call
  /** What the route answers about an id that only another tenant has; 404 by default. */
  readonly foreign?: number
  /** Members of its success, lists as `[]`. */
  readonly shows: readonly string[]
}

export interface AttackedService {
  /** Also names the database: `oms_shipping`. */
  readonly role: string
  readonly migrations: Readonly<Record<string, Migration>>
  readonly wire: Pick<ServerOptions, 'tenantHeader' | 'freeTextHeaders'>
  /** @param origin of everything that the service calls. */
  build(
    database: TestDatabase['config'],
    origin: string,
    overrides: Pick<ServerOptions, 'beforeRoutes' | 'logStream'>,
  ): Server
  /** What the service's upstreams answer. */
  readonly answer: Parameters<Upstream['answer']>[0]
  /** What a tenant must have before it can do anything. */
  furnish(database: TestDatabase['admin'], tenant: string): Promise<unknown>
  /** By its declaration: `POST /api/v1/parcels/:parcelId/send`. */
  readonly routes: Readonly<Record<string, Route>>
  /** Members and parameters that hold codes or numbers, which may look like a card number. */
  readonly codes: readonly string[]
  /** Calls that make what an id names, for each state it may be in. */
  readonly owned: Readonly<Record<string, (id: string) => readonly Call[]>>
}

export type Answer = Awaited<ReturnType<Server['inject']>>

export interface Attack {
  readonly what: string
  /** `400 invalid-request` */
  readonly as: string
  readonly answer: () => Promise<Answer>
}

export interface Ground {
  readonly service: AttackedService
  readonly server: Server
  readonly database: TestDatabase
  readonly upstream: Upstream
  /** The log, line by line as it was written. */
  readonly log: readonly string[]
  readonly tables: readonly string[]
  /** Every row of a tenant, or of all. */
  rows(tenant?: string): Promise<readonly string[]>
  /** Routes of a tenant as they are declared. */
  readonly declared: readonly string[]
  /** Those whose success has no schema. */
  readonly shapeless: readonly string[]
  /** @param payload as it is, instead of the call's body. */
  send(call: Call, tenant?: string | null, payload?: string): Promise<Answer>
  /** Expects each of `attacks` to be refused as it says, and that nothing was stored or sent for any. */
  refused(attacks: readonly Attack[]): Promise<void>
  stop(): Promise<void>
}

const PROBLEM = 'https://oms.example/problems/'

/** Words of the inside: stacks, files, SQL, hosts, roles. `oms.example` is where the problems are documented. */
export const INSIDE =
  /\bat .+:\d+:\d+|node_modules|\.m?[jt]s\b|\b(?:SELECT|INSERT|UPDATE|DELETE|ERROR)\b|\boms(?!\.example)|does not exist|127\.0\.0\.1|postgres|ECONN/

/** `400 invalid-request` */
export function toldBy(answer: Answer): string {
  return `${answer.statusCode} ${String(answer.json().type).replace(PROBLEM, '')}`
}

/** Every place of every route that a caller fills. */
export function placesIn({ routes }: AttackedService): readonly (Place & { route: string })[] {
  return Object.entries(routes).flatMap(([route, { call }]) => {
    const id = randomUUID()
    const good = call(id)
    return [...leavesOf(good), ...headersOf(good), ...addressesOf(good, id)].map((place) => ({
      ...place,
      route,
    }))
  })
}

export async function startGround(service: AttackedService): Promise<Ground> {
  const log: string[] = []
  const declared: string[] = []
  const shapeless: string[] = []
  const database = await createTestDatabase(service.role, service.migrations)
  const upstream = await createUpstream()
  upstream.answer(service.answer)
  const server = service.build(database.config, upstream.origin, {
    logStream: { write: (line) => void log.push(line) },
    beforeRoutes: (each) =>
      void each.addHook('onRoute', ({ method, url, config, schema }) => {
        if (config?.tenant === false) return
        declared.push(`${method} ${url}`)
        const shapes = Object.keys((schema?.response as object | undefined) ?? {})
        if (!shapes.some((status) => status.startsWith('2'))) shapeless.push(`${method} ${url}`)
      }),
  })
  for (const step of server.chassis.boot) await step()
  for (const tenant of ['acme', 'globex']) await service.furnish(database.admin, tenant)

  const tables = await tablesOf(database.admin)
  const rows: Ground['rows'] = (tenant) => rowsOf(database.admin, tables, tenant)

  function send(
    { method, url, headers = {}, body }: Call,
    tenant: string | null = 'acme',
    payload: string | object | undefined = body,
  ): Promise<Answer> {
    return server.inject({
      method,
      url,
      headers: {
        ...(tenant === null ? {} : { [service.wire.tenantHeader]: tenant }),
        ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(payload === undefined ? {} : { payload }),
    })
  }

  async function refused(attacks: readonly Attack[]): Promise<void> {
    const before = await rows()
    upstream.received.length = 0
    const wrong: string[] = []
    for (const { what, as, answer } of attacks) {
      const given = await answer()
      if (toldBy(given) !== as) wrong.push(`${what}: ${toldBy(given)}`)
      if (INSIDE.test(given.body)) wrong.push(`${what}: ${given.body}`)
    }
    expect(attacks.length).toBeGreaterThan(0)
    expect(wrong).toEqual([])
    expect(await rows()).toEqual(before)
    expect(upstream.received).toEqual([])
  }

  async function stop(): Promise<void> {
    await stopOnce(server, 0)()
    await upstream.close()
    await database.drop()
  }

  return {
    service,
    server,
    database,
    upstream,
    log,
    tables,
    rows,
    declared,
    shapeless,
    send,
    refused,
    stop,
  }
}
