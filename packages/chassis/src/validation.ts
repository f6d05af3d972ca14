/** What a request may look like. Nothing is coerced, removed or filled in that the caller did not write. */
import { InvalidRequest, PanRejected } from '@oms/problem/http-problems'
import { checking } from './checking-hook.ts'
import { containsPan } from './redact.ts'
import type { Server, ServerOptions } from './server.ts'

/** "1e400" is coerced to Infinity, which every bound lets pass. */
export function refuseInfinity(server: Server): void {
  server.addHook(
    'preHandler',
    checking(({ query }) => {
      for (const [name, value] of Object.entries(query as object))
        if (Math.abs(value) === Number.POSITIVE_INFINITY)
          throw new InvalidRequest(
            `/querystring/${name} must be a finite number; see openapi.json.`,
            {
              errors: [{ pointer: `/querystring/${name}`, detail: 'must be finite' }],
            },
          )
    }),
  )
}

/** Only JSON in UTF-8; no body at all counts as `{}`. */
export function useStrictBodies(server: Server): void {
  const parse = server.getDefaultJsonParser('error', 'error')
  server.removeAllContentTypeParsers()
  server.addContentTypeParser(
    /^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i,
    { parseAs: 'string' },
    (request, body, done) => {
      if (body === '') done(null, {})
      else void parse(request, body as string, done)
    },
  )
  server.addHook(
    'preValidation',
    checking((request) => {
      if (request.body === undefined && request.method === 'POST') request.body = {}
    }),
  )
}

/** Before validation, so that nothing of it reaches an answer, a log line or the database. */
export function refusePans(server: Server, options: ServerOptions): void {
  const exempt = new Set(options.panExemptMembers)

  server.addHook(
    'preValidation',
    checking((request) => {
      const inHeader = options.freeTextHeaders.find((name) =>
        containsPan(String(request.headers[name] ?? '')),
      )
      if (inHeader !== undefined)
        throw new PanRejected(`${inHeader} holds a card number; send a token or a random key.`)
      if (holdsPan(request.body, exempt))
        throw new PanRejected(
          "The body holds a card number; send the card processor's token instead.",
        )
    }),
  )
}

/** Member names count, too. Not recursive: a body of 64 KiB can be deeper than the stack. */
function holdsPan(body: unknown, exempt: ReadonlySet<string>): boolean {
  const todo: unknown[] = [body]
  while (todo.length > 0) {
    const value = todo.pop()
    if (typeof value === 'string' || typeof value === 'number') {
      if (containsPan(String(value))) return true
    } else if (Array.isArray(value)) {
      for (const each of value) todo.push(each)
    } else if (typeof value === 'object' && value !== null) {
      for (const [name, member] of Object.entries(value))
        if (!exempt.has(name)) todo.push(name, member)
    }
  }
  return false
}
