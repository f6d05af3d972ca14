/** For tests only: bodies that are too much, of another kind, or say what is not the caller's to say. */
import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { type Call, membersOf, withMember } from './testing-calls.ts'
import type { AttackedService, Ground } from './testing-ground.ts'

const BODY_LIMIT_BYTES = 65_536

const OTHER_TYPES = [
  'text/plain',
  'text/json',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'application/jsonp',
  'application/problem+json',
  'application/json\ta',
  'application/json; charset=latin1',
  'application/json; charset=utf-16',
  'application/json; version=2',
  'application/json, text/plain',
  'x-application/json',
  'json',
]

const DEEP = [
  `${'['.repeat(10_000)}${']'.repeat(10_000)}`,
  `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`,
]

/** Name, value, and how the JSON text writes the name. */
const PROTOTYPES: readonly [string, object, string][] = [
  ['__proto__', { polluted: 1 }, '__proto__'],
  ['__proto__', { polluted: 1 }, '\\u005f_proto_\\u005f'],
  ['constructor', { prototype: { polluted: 1 } }, 'constructor'],
  ['constructor', { prototype: { polluted: 1 } }, 'c\\u006fnstructor'],
]

export function describeBodies(ground: () => Ground, { routes, owned }: AttackedService): void {
  const posts = Object.entries(routes).filter(([name]) => name.startsWith('POST '))

  test.each(Object.entries(routes))(
    '%s shows the members it should, and no others',
    async (_name, { call, shows }) => {
      const { send } = ground()
      for (const makes of Object.values(owned)) {
        const id = randomUUID()
        for (const each of makes(id)) await send(each)
        const answer = await send(call(id))
        if (answer.statusCode >= 300) continue
        expect(membersOf(answer.json())).toEqual(shows.toSorted())
        return
      }
      throw new Error('no state of `owned` lets it succeed')
    },
  )

  /** What the service says of itself is not the caller's to say, and neither is who it is. */
  const foreign = Object.values(routes).flatMap(({ shows }) =>
    shows.map((path) => path.split('.').at(-1) as string),
  )
  const members = [...new Set([...foreign, 'tenant_id', 'admin'])]

  test('a member that is not the caller’s to say is refused in every object of every body', () => {
    const { send, refused } = ground()
    return refused(
      posts.flatMap(([name, { call }]) =>
        members.flatMap((member) =>
          withMember(call(randomUUID()), member, 1).map((attack) => ({
            what: `${name} with ${member}`,
            as: '400 invalid-request',
            answer: () => send(attack),
          })),
        ),
      ),
    )
  })

  test('a body of one byte above 64 KiB is 413 on every route, and one of 64 KiB is not', async () => {
    const { send, refused } = ground()
    const padded = ({ body }: Call, bytes: number) => JSON.stringify(body ?? {}).padEnd(bytes)
    await refused(
      posts.map(([name, { call }]) => {
        const good = call(randomUUID())
        const payload = padded(good, BODY_LIMIT_BYTES + 1)
        return {
          what: name,
          as: '413 content-too-large',
          answer: () => send(good, 'acme', payload),
        }
      }),
    )
    for (const [, { call }] of posts) {
      const good = call(randomUUID())
      const answer = await send(good, 'acme', padded(good, BODY_LIMIT_BYTES))
      expect(answer.statusCode).not.toBe(413)
    }
  })

  test('a body of ten thousand levels is refused in every object of every body', () => {
    const { send, refused } = ground()
    return refused(
      posts.flatMap(([name, { call }]) =>
        DEEP.flatMap((deep) => {
          const inside = withMember(call(randomUUID()), 'x', 'DEEP').map(({ body }) =>
            JSON.stringify(body).replace('"DEEP"', deep),
          )
          return [deep, ...inside].map((payload) => ({
            what: `${name} ${payload.slice(0, 60)}`,
            as: '400 invalid-request',
            answer: () => send(call(randomUUID()), 'acme', payload),
          }))
        }),
      ),
    )
  })

  test('a body of any other type is 415 on every route', () => {
    const { send, refused } = ground()
    return refused(
      posts.flatMap(([name, { call }]) =>
        OTHER_TYPES.map((type) => {
          const good = call(randomUUID())
          const attack = { ...good, headers: { ...good.headers, 'content-type': type } }
          return {
            what: `${name} as ${type}`,
            as: '415 unsupported-media-type',
            answer: () => send(attack, 'acme', JSON.stringify(good.body ?? {})),
          }
        }),
      ),
    )
  })

  test('a prototype is refused in every object of every body, however it is written, and none is touched', async () => {
    const { send, refused } = ground()
    await refused(
      posts.flatMap(([name, { call }]) =>
        PROTOTYPES.flatMap(([member, value, written]) =>
          withMember(call(randomUUID()), member, value).map(({ body, ...attack }) => ({
            what: `${name} with ${written}`,
            as: '400 invalid-request',
            answer: () => send(attack, 'acme', JSON.stringify(body).replace(member, written)),
          })),
        ),
      ),
    )
    for (const prototype of [Object.prototype, Array.prototype, Function.prototype])
      expect(Object.hasOwn(prototype, 'polluted')).toBe(false)
    expect(Object.getPrototypeOf({})).toBe(Object.prototype)
  })
}
