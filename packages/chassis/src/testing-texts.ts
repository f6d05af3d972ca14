/** For tests only: hostile texts in every place that a caller fills, and where none of them may turn up. */
import { randomUUID } from 'node:crypto'
import { connect, Socket } from 'node:net'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { type Call, leavesOf, type Place, withMember } from './testing-calls.ts'
import { type AttackedService, type Ground, INSIDE, placesIn, toldBy } from './testing-ground.ts'

const ADDRESSES = [
  'http://169.254.169.254/latest/meta-data/',
  '//169.254.169.254:8443/x',
  'localhost:1',
]

const TEXTS = [
  "';DROP/**/TABLE/**/t;--",
  "' OR '1'='1' -- -- --",
  '$$;select/**/pg_sleep(9);$$',
  '"},"msg":"request","forged":true,"x":{"',
  '\\"}\\n{"forged":true}',
  `$\{7*7}{{7*7}}<script>1</script>`,
  '../../../../etc/shadow',
  'a\nb\r\n{"msg":"request","forged":true}',
  'a\u0000b\u2028c\u2029d\u202ee 😀 fghijkl',
]

const PANS = [
  '4111111111111111',
  '4111 1111 1111 1111',
  '4111-1111-1111-1111',
  'x4111111111111111y',
]
/** Most of it, however it is written. */
const PAN_SEEN = /1111[ -]?1111[ -]?1111/

/** A header line holds no more than this. */
const VISIBLE = /^[\x20-\x7e]*$/
const fits = ({ name }: Place, text: string): boolean =>
  !name.startsWith('header') || VISIBLE.test(text)

const isText =
  (codes: readonly string[]) =>
  ({ name }: Place): boolean =>
    !codes.some((code) => name.endsWith(`/${code}`) || name === `query ${code}`)

export function describeTexts(ground: () => Ground): void {
  test('an address that a caller sends is connected to by nobody', async () => {
    const { service, send, upstream, database } = ground()
    const peers = [upstream.origin, database.config.DATABASE_URL].map((url) => new URL(url).host)
    const { connections, stop } = recordConnections()
    try {
      for (const place of placesIn(service))
        for (const address of ADDRESSES) {
          const { statusCode } = await send(place.put(address))
          expect([place.route, place.name, statusCode]).not.toContain(500)
        }
      expect(connections.filter((host) => !peers.includes(host))).toEqual([])
      // The record sees what goes elsewhere.
      connect(1, '127.0.0.1').on('error', () => undefined)
      expect(connections).toContain('127.0.0.1:1')
    } finally {
      stop()
    }
  })

  test('a text of any kind is one log line, no statement of its own, and is shown nothing of the inside', async () => {
    const { service, send, log } = ground()
    const { statements, stop } = recordStatements()
    const before = log.length
    const wrong: string[] = []
    let sent = 0
    try {
      for (const place of placesIn(service))
        for (const text of TEXTS.filter((each) => fits(place, each))) {
          const answer = await send(place.put(text))
          sent++
          if (answer.statusCode >= 500 || INSIDE.test(answer.body))
            wrong.push(`${place.route} ${place.name}: ${answer.body}`)
        }
    } finally {
      stop()
    }
    expect(wrong).toEqual([])
    const lines = log.slice(before)
    expect(lines.filter((line) => line.trimEnd().includes('\n'))).toEqual([])
    const told = lines.map((line): Record<string, unknown> => JSON.parse(line))
    expect(told.filter(({ msg }) => msg === 'request')).toHaveLength(sent)
    expect(told.filter((line) => Object.hasOwn(line, 'forged'))).toEqual([])
    expect(statements.length).toBeGreaterThan(0)
    // The text of a statement is ours; what a caller sent goes beside it.
    for (const statement of statements)
      expect(statement).toMatchObject({
        name: expect.any(String),
        text: expect.stringMatching(/^SELECT \* FROM oms\.\w+\((\$\d+(, \$\d+)*)?\)$/),
      })
  })

  test('a failing database is a bare 500 on every route', async () => {
    const { service, send, database } = ground()
    await database.admin.query('ALTER SCHEMA oms RENAME TO gone')
    try {
      for (const [name, { call }] of Object.entries(service.routes)) {
        const answer = await send(call(randomUUID()))
        expect([name, toldBy(answer)]).toEqual([name, '500 internal'])
        expect(answer.body).not.toMatch(INSIDE)
      }
    } finally {
      await database.admin.query('ALTER SCHEMA gone RENAME TO oms')
    }
  })

  describe('a card number', () => {
    test('is refused in every body and every key', () => {
      const { service, send, refused } = ground()
      return refused(
        Object.entries(service.routes).flatMap(([name, { call }]) =>
          withPan(service, call(randomUUID())).map((attack) => ({
            what: `${name} ${JSON.stringify(attack)}`,
            as: '400 pan-rejected',
            answer: () => send(attack),
          })),
        ),
      )
    })

    test('is in no answer, log line, metric or row, wherever it was put', async () => {
      const { service, server, send, log, rows } = ground()
      const shown: string[] = []
      for (const place of placesIn(service).filter(isText(service.codes)))
        for (const pan of PANS) {
          const { body } = await send(place.put(pan))
          if (PAN_SEEN.test(body)) shown.push(`${place.route} ${place.name}: ${body}`)
        }
      expect(shown).toEqual([])
      expect(log.filter((line) => PAN_SEEN.test(line))).toEqual([])
      expect((await server.inject('/metrics')).body).not.toMatch(PAN_SEEN)
      expect((await rows()).filter((row) => PAN_SEEN.test(row))).toEqual([])
    })
  })
}

function withPan({ codes, wire }: AttackedService, good: Call): readonly Call[] {
  const filled = leavesOf(good)
    .filter(isText(codes))
    .flatMap(({ put }) => PANS.map(put))
  const keyed = wire.freeTextHeaders.flatMap((name) =>
    PANS.map((pan) => ({ ...good, headers: { ...good.headers, [name]: pan } })),
  )
  if (good.body === undefined) return keyed
  return [
    ...filled,
    ...keyed,
    ...withMember(good, 'note', 4_111_111_111_111_111),
    ...withMember(good, 'note', [{ inside: 'my card: 4111 1111 1111 1111.' }]),
    ...withMember(good, '4111111111111111', 1),
  ]
}

/** Hosts and ports that this process connects to from now on. */
function recordConnections(): { readonly connections: readonly string[]; stop(): void } {
  const connections: string[] = []
  const original = Socket.prototype.connect
  Socket.prototype.connect = function record(this: Socket, ...given: unknown[]): Socket {
    const [first, second] = given.flat()
    const { host = 'localhost', port } =
      typeof first === 'object'
        ? (first as { host?: string; port?: number })
        : { host: second, port: first }
    connections.push(`${host}:${port}`)
    return (original as (...all: unknown[]) => Socket).apply(this, given)
  } as typeof original
  return {
    connections,
    stop() {
      Socket.prototype.connect = original
    },
  }
}

/** What goes to the database from now on. */
function recordStatements(): { readonly statements: readonly unknown[]; stop(): void } {
  const statements: unknown[] = []
  const { query } = pg.Client.prototype
  pg.Client.prototype.query = function record(this: pg.Client, ...given: unknown[]) {
    statements.push(given[0])
    return (query as (...all: unknown[]) => unknown).apply(this, given)
  } as typeof query
  return {
    statements,
    stop() {
      pg.Client.prototype.query = query
    },
  }
}
