/** Hooks that only look at a request: no promise, which every request would pay for. */
import type { FastifyReply, FastifyRequest } from 'fastify'

/** Whatever `check` throws is the answer. */
export function checking(check: (request: FastifyRequest) => void) {
  return (request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void => {
    try {
      check(request)
    } catch (error) {
      done(error as Error)
      return
    }
    done()
  }
}
