/**
 * The backstop of every answer: 503, or 408 where the body never came; the work goes on. Fastify's `handlerTimeout` says
 * the same, but aborts a signal at the end of every request: an exception with its stack, a twentieth of the request.
 */
import { errorCodes } from 'fastify'
import type { Server } from './server.ts'

/** 11 s: the longest answer, order's, comes by 10.5 s. */
const HANDLER_TIMEOUT_MS = 11_000

export function limitHandlers(server: Server): void {
  server.addHook('onRequest', (request, reply, done) => {
    const ms = request.route.config.handlerTimeoutMs ?? HANDLER_TIMEOUT_MS
    const timer = setTimeout(() => {
      if (reply.sent) return
      const error = new errorCodes.FST_ERR_HANDLER_TIMEOUT(String(ms), request.route.url)
      if (reply.raw.headersSent) reply.raw.destroy(error)
      else reply.send(error)
    }, ms)
    reply.raw.once('close', () => clearTimeout(timer))
    done()
  })
}
