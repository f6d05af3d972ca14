/** A service of a few routes on a real port, for the chassis's own tests. */
import { connect, type Socket } from 'node:net'
import { PROBLEM_TYPE_BASE } from '@oms/problem/problem'
import { expect } from 'vitest'
import { stopOnce } from '../src/lifecycle.ts'
import { createServer, type Server, type ServerOptions } from '../src/server.ts'
import { eventually } from '../src/testing.ts'
import { OPTIONS } from './options.ts'

export const TENANT = { 'x-tenant-id': 'acme' }

export type LogLine = Readonly<Record<string, unknown>>

export interface TestService {
  readonly server: Server
  readonly origin: string
  readonly port: number
  /** What was written to the log, line by line. */
  readonly log: string[]
  /** The first request line that fits, as soon as it is there. */
  requestLine(fits: (line: LogLine) => boolean): Promise<LogLine>
  get(path: string, headers?: Record<string, string>): Promise<Response>
  post(path: string, body: string | object, headers?: Record<string, string>): Promise<Response>
  /** Destroys a caller's connection; returns when the server has seen it. */
  hangUp(caller: Socket): Promise<void>
  stop(): Promise<void>
}

export async function startService(
  routes: (server: Server) => void,
  overrides: Partial<ServerOptions> = {},
): Promise<TestService> {
  const log: string[] = []
  const server = createServer({
    ...OPTIONS,
    logStream: { write: (text) => void log.push(text) },
    ...overrides,
  })
  routes(server)
  const sockets = new Map<number | undefined, Socket>()
  server.server.on('connection', (socket) => sockets.set(socket.remotePort, socket))
  await server.listen({ host: '127.0.0.1', port: 0 })
  server.chassis.phase = 'ready'
  const { port } = server.addresses()[0] as { port: number }
  const origin = `http://127.0.0.1:${port}`
  return {
    server,
    origin,
    port,
    log,
    requestLine: (fits) =>
      eventually('a request line', () =>
        log
          .map((line) => JSON.parse(line) as LogLine)
          .find((line) => line['msg'] === 'request' && fits(line)),
      ),
    get: (path, headers = TENANT) => fetch(origin + path, { headers }),
    post: (path, body, headers = {}) =>
      fetch(origin + path, {
        method: 'POST',
        body: typeof body === 'string' ? body : JSON.stringify(body),
        headers: { ...TENANT, 'content-type': 'application/json', ...headers },
      }),
    async hangUp(caller) {
      const end = sockets.get(caller.localPort)
      const seen = new Promise((resolve) => end?.once('close', resolve))
      caller.destroy()
      await seen
    },
    stop: stopOnce(server, 0),
  }
}

/** The problem of an answer, once its form was found right. */
export async function problemOf(
  response: Response,
  status: number,
  slug: string,
): Promise<Record<string, unknown>> {
  const body = (await response.json()) as Record<string, unknown>
  expect({ status: response.status, type: body['type'] }).toEqual({
    status,
    type: PROBLEM_TYPE_BASE + slug,
  })
  expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/)
  expect(response.headers.get('cache-control')).toBe('no-store')
  expect(body).toMatchObject({
    status,
    title: expect.any(String),
    detail: expect.any(String),
    instance: expect.stringMatching(/^\//),
    retryable: expect.any(Boolean),
    outcome: expect.stringMatching(/^(not_executed|unknown|final)$/),
  })
  return body
}

/** Sends bytes as they are and resolves with everything that came back when the other side has closed. */
export function rawExchange(port: number, ...parts: readonly (string | Buffer)[]): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    const socket = connect(port, '127.0.0.1', () => {
      for (const part of parts) socket.write(part)
    })
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')))
  })
}
