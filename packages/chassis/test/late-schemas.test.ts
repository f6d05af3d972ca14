import { afterEach, expect, test } from 'vitest'
import { problemOf, startService, type TestService } from './service.ts'

let service: TestService

afterEach(() => service.stop())

test('a schema that does not compile is told with its route, and no probe hears of it', async () => {
  service = await startService((server) => {
    server.get('/broken', { schema: { querystring: { type: 'nonsense' } } }, async () => ({}))
  })
  expect((await service.get('/health')).status).toBe(200)
  await expect(service.server.chassis.compileSchemas()).rejects.toThrow(
    'The schema of GET /broken, querystring, does not compile: ',
  )
  expect((await service.get('/broken')).status).toBe(500)
})

test('a request that comes before all are compiled is checked, and so is its answer', async () => {
  const Answer = { type: 'object', properties: { size: { type: 'integer' } } }
  const Query = { type: 'object', properties: { size: { type: 'integer', minimum: 1 } } }
  service = await startService((server) => {
    const schema = { querystring: Query, response: { 200: Answer } }
    server.get('/boxes', { schema }, async ({ query }) => {
      const box: object = { ...(query as object), secret: 'x' }
      return box
    })
  })
  const [right, wrong] = await Promise.all([
    service.get('/boxes?size=2'),
    service.get('/boxes?size=0'),
  ])
  expect(await right.json()).toEqual({ size: 2 })
  await problemOf(wrong, 400, 'invalid-request')
})
