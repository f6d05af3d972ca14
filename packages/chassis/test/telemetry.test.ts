import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { freePort } from '../src/embedded-postgres.ts'
import { createUpstream, eventually, json } from '../src/testing.ts'
import { TENANT } from './service.ts'

const NODE = fileURLToPath(new URL('../../../node_modules/.bin/node', import.meta.url))
const PROGRAM = fileURLToPath(new URL('./traced-program.ts', import.meta.url))

interface Span {
  readonly traceId: string
  readonly id: string
  readonly parentId?: string
  readonly kind?: string
  readonly name: string
  readonly tags: Readonly<Record<string, string>>
  readonly localEndpoint: { readonly serviceName: string }
}

test('a request and its call are two spans of one trace, sent before the program ends', async () => {
  const upstream = await createUpstream()
  const collector = await createUpstream()
  upstream.answer((_request, response) => json(response, 200, { id: '1' }))
  collector.answer((_request, response) => void response.writeHead(202).end())
  const port = await freePort()
  const child = spawn(NODE, [PROGRAM], {
    env: {
      PORT: String(port),
      UPSTREAM: upstream.origin,
      TRACE_URL: `${collector.origin}/api/v2/spans`,
    },
    stdio: 'ignore',
  })
  const exit = new Promise((resolve) => child.once('close', resolve))
  try {
    const origin = `http://127.0.0.1:${port}`
    await eventually(
      'it is ready',
      async () => (await fetch(`${origin}/ready`).catch(() => undefined))?.status === 200,
    )
    const answer = await fetch(`${origin}/calls`, { headers: { ...TENANT, 'x-order-id': 'o-1' } })
    expect(answer.status).toBe(200)
    child.kill('SIGTERM')
    expect(await exit).toBe(0)

    const spans = collector.received.flatMap(({ body }) => body as readonly Span[])
    expect(spans).toHaveLength(2)
    const server = spans.find(({ kind }) => kind === 'SERVER')
    const client = spans.find(({ kind }) => kind === 'CLIENT')
    expect(server).toMatchObject({
      traceId: answer.headers.get('x-trace-id'),
      name: 'GET /calls',
      tags: { order_id: 'o-1', tenant_id: 'acme', 'http.response.status_code': '200' },
      localEndpoint: { serviceName: 'thing-service' },
    })
    expect(server).not.toHaveProperty('parentId')
    expect(client).toMatchObject({
      traceId: server?.traceId,
      parentId: server?.id,
      name: 'POST /api/things/:id',
      tags: { 'http.response.status_code': '200', 'server.address': 'things' },
    })
    expect(upstream.received[0]?.headers).toMatchObject({
      'x-b3-traceid': server?.traceId,
      'x-b3-spanid': client?.id,
      'x-b3-sampled': '1',
    })
    expect(JSON.stringify(spans)).not.toContain('canary')
  } finally {
    child.kill('SIGKILL')
    await upstream.close()
    await collector.close()
  }
})
