/** Serves one request that calls an upstream, and exports its spans: a process of its own, as tracing is one a process. */
import { Type } from 'typebox'
import { createHttpClient } from '../src/http-client.ts'
import { run } from '../src/lifecycle.ts'
import { createServer } from '../src/server.ts'
import { OPTIONS } from './options.ts'

const server = createServer({
  ...OPTIONS,
  LOG_LEVEL: 'silent',
  TRACE_EXPORTER: 'zipkin',
  TRACE_URL: String(process.env['TRACE_URL']),
  TRACE_RATIO: 1,
})
const upstream = createHttpClient(server, {
  name: 'things',
  origin: String(process.env['UPSTREAM']),
})
server.get('/calls', async () => {
  const { body } = await upstream.send({
    method: 'POST',
    path: '/api/things/1',
    route: '/api/things/:id',
    body: { secret: 'canary' },
    timeoutMs: 2000,
    answers: { 200: Type.Object({ id: Type.String() }) },
  })
  return body
})
await run(server, { HOST: '127.0.0.1', PORT: Number(process.env['PORT']), DRAIN_DELAY_MS: 0 })
