import { type Span, TraceFlags } from '@opentelemetry/api'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createMetrics } from '../src/metrics.ts'
import { startService, TENANT, type TestService } from './service.ts'

let service: TestService

beforeAll(async () => {
  service = await startService((server) => {
    server.get('/things/:id', async () => ({ ok: true }))
    server.chassis.metrics.gauge('well', 'Can be read.', () => 7)
    server.chassis.metrics.gauge('ill', 'Cannot be read.', async () =>
      Promise.reject(new Error('down')),
    )
    server.chassis.metrics.labelledGauge(
      'ill_by_state',
      'Cannot be read.',
      ['state'],
      async (set) => {
        set({ state: 'a' }, 1)
        throw new Error('down')
      },
    )
  })
})

afterAll(() => service.stop())

const scrape = async (): Promise<string> => (await service.get('/metrics', {})).text()

const spanOf = (traceFlags: TraceFlags): Span =>
  ({
    spanContext: () => ({
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
      traceFlags,
    }),
  }) as unknown as Span

describe('/metrics', () => {
  test('speaks OpenMetrics to its end', async () => {
    const answer = await service.get('/metrics', {})
    expect(answer.headers.get('content-type')).toMatch(
      /^application\/openmetrics-text; version=1\.0\.0/,
    )
    expect(await answer.text()).toMatch(/# EOF\n$/)
  })

  test('counts requests by method, route and status, never by address', async () => {
    await service.get('/things/4711')
    await service.get('/nowhere/4711')
    const text = await scrape()
    const count = 'http_server_request_duration_seconds_count'
    expect(text).toContain(`${count}{method="GET",route="/things/:id",status="200"} 1`)
    expect(text).toContain(`${count}{method="GET",route="unmatched",status="404"} 1`)
    expect(text).not.toContain('4711')
    expect(text).not.toContain('route="/metrics"')
  })

  test('names no tenant and no order, in no label', async () => {
    await service.get('/things/1', {
      ...TENANT,
      'x-tenant-id': 'canary-tenant',
      'x-order-id': 'canary-order',
    })
    const text = await scrape()
    expect(text).not.toMatch(/canary|tenant|order_id/)
    // An exemplar names the trace; it is no label.
    const series = text.replaceAll(/ # \{.*$/gm, '')
    const labels = [...series.matchAll(/[{,](\w+)="/g)].map(([, name]) => name)
    expect(new Set(labels)).toEqual(new Set(['method', 'route', 'status', 'le']))
  })

  test.each(['limiter_in_flight', 'limiter_queued', 'limiter_rejected_total', 'sweeper_passes'])(
    'has %s',
    async (name) => {
      expect(await scrape()).toMatch(new RegExp(`^# TYPE ${name.replace(/_total$/, '')} `, 'm'))
    },
  )

  test('leaves out what cannot be read and shows the rest', async () => {
    const text = await scrape()
    expect(text).toMatch(/^well 7$/m)
    expect(text).not.toMatch(/^ill(_by_state)?[ {]/m)
  })
})

describe('an exemplar', () => {
  const labels = { method: 'GET', route: '/x', status: '200' }

  test('names the trace of a sampled request', async () => {
    const metrics = createMetrics()
    metrics.observeRequest(labels, 0.003, spanOf(TraceFlags.SAMPLED))
    expect(await metrics.expose()).toMatch(
      /le="0\.005",.*\} 1 # \{trace_id="0af7651916cd43dd8448eb211c80319c",span_id="b7ad6b7169203331"\} 0\.003/,
    )
  })

  test.each([
    ['an unsampled request', spanOf(TraceFlags.NONE)],
    ['a request without a span', undefined],
  ])('is not there for %s', async (_what, span) => {
    const metrics = createMetrics()
    metrics.observeRequest(labels, 0.003, span)
    const text = await metrics.expose()
    expect(text).toContain('http_server_request_duration_seconds_count')
    expect(text).not.toContain('trace_id')
  })
})
