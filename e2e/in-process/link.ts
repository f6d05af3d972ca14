/** The wire between two services, with weather: what is sent may not arrive, what is answered may not come back. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Pool } from 'undici'

/** `down`: nothing arrives. `deaf`: it arrives and is done, the answer is lost. */
export type Weather = 'up' | 'down' | 'deaf'

export interface Link {
  /** What the caller takes for the service. */
  readonly origin: string
  weather: Weather
  /**
   * Resolves once nothing is under way, with how many of the answers since the last call decided nothing, in good
   * weather: still processing, a refusal, an error, or later than the caller waits.
   */
  settle(): Promise<number>
  close(): Promise<void>
}

/** @param target origin of the service. */
export async function createLink(target: string): Promise<Link> {
  const pool = new Pool(target, { connections: 16, pipelining: 1 })
  const underWay = new Set<Promise<void>>()
  let undecided = 0

  async function forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { weather } = link
    if (weather === 'down') {
      response.destroy()
      return
    }
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    const { host: _host, connection: _connection, ...headers } = request.headers
    const { statusCode, body } = await pool.request({
      method: request.method as 'GET' | 'POST',
      path: request.url ?? '/',
      headers,
      body: Buffer.concat(chunks),
    })
    const text = await body.text()
    if (weather === 'deaf') response.destroy()
    else {
      if (response.destroyed || decidesNothing(statusCode, text)) undecided++
      response.writeHead(statusCode).end(text)
    }
  }

  const server = createServer((request, response) => {
    const work = forward(request, response)
      .catch(() => {
        undecided++
        response.destroy()
      })
      .finally(() => underWay.delete(work))
    underWay.add(work)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const link: Link = {
    origin: `http://127.0.0.1:${port}`,
    weather: 'up',
    async settle() {
      await Promise.all(underWay)
      const count = undecided
      undecided = 0
      return count
    },
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await pool.destroy()
    },
  }
  return link
}

function decidesNothing(status: number, text: string): boolean {
  return status === 202 || status === 429 || status >= 500 || text.includes('/problems/busy"')
}
