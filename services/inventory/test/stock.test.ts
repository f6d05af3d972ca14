import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseConfig } from '@oms/chassis/config'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { buildApp } from '../src/app.ts'
import { configSchema } from '../src/config.ts'
import { supplyStock } from '../src/operations.ts'
import { line, type Service, startService } from './service.ts'

let service: Service

beforeAll(async () => {
  service = await startService()
})

afterAll(async () => {
  await service.stop()
})

describe('GET /api/v1/stock', () => {
  const tenant = { 'x-tenant-id': 'umbrella' }
  const skus = Array.from({ length: 25 }, (_, n) => `ITEM-${String(n).padStart(2, '0')}`)
  interface Page {
    readonly items: readonly { readonly sku: string }[]
    readonly next_cursor: string | null
  }
  const page = async (query: string) => {
    const answer = await service.get(`/api/v1/stock${query}`, tenant)
    expect(answer.statusCode).toBe(200)
    return answer.json() as unknown as Page
  }
  const names = ({ items }: Page) => items.map(({ sku }) => sku)

  beforeAll(async () => {
    for (const sku of skus)
      await service.app.stock.supply({ tenantId: 'umbrella', sku, supplied: 100 })
  })

  test('tells what is available, reserved and sold', async () => {
    const [held, sold] = [randomUUID(), randomUUID()]
    await service.reserve(held, [line('ITEM-00', 2)], tenant)
    await service.reserve(sold, [line('ITEM-00', 3)], tenant)
    await service.post(`/api/v1/reservations/${sold}/settle`, {}, tenant)
    expect(await page('?sku=ITEM-00')).toEqual({
      items: [{ sku: 'ITEM-00', available: 95, reserved: 2, sold: 3 }],
      next_cursor: null,
    })
  })

  test('pages by SKU, 20 at a time, each once', async () => {
    const first = await page('')
    expect(names(first)).toEqual(skus.slice(0, 20))
    const second = await page(`?cursor=${first.next_cursor}`)
    expect(names(second)).toEqual(skus.slice(20))
    expect(second.next_cursor).toBeNull()
  })

  test('ends on a full page without a cursor', async () => {
    expect((await page('?limit=25')).next_cursor).toBeNull()
    expect((await page('?limit=24')).next_cursor).not.toBeNull()
  })

  test('goes on behind the cursor when SKUs arrive meanwhile', async () => {
    const { next_cursor } = await page('?limit=5')
    await service.app.stock.supply({ tenantId: 'umbrella', sku: 'ITEM-04-B', supplied: 1 })
    expect(names(await page(`?limit=2&cursor=${next_cursor}`))).toEqual(['ITEM-04-B', 'ITEM-05'])
  })

  test('filters by up to 50 SKUs; unknown ones are left out', async () => {
    const query = Array.from({ length: 50 }, (_, n) => `sku=ITEM-${String(n).padStart(2, '0')}`)
    const filtered = await page(`?limit=100&${query.join('&')}`)
    expect(names(filtered)).toEqual(skus)
    expect(names(await page('?sku=ITEM-07&sku=ITEM-03&sku=NOWHERE'))).toEqual([
      'ITEM-03',
      'ITEM-07',
    ])
    const some = await page('?limit=1&sku=ITEM-07&sku=ITEM-03')
    expect(
      names(await page(`?limit=1&sku=ITEM-07&sku=ITEM-03&cursor=${some.next_cursor}`)),
    ).toEqual(['ITEM-07'])
  })

  test.each([
    ['51 SKUs', `?${Array(51).fill('sku=A').join('&')}`],
    ['a SKU in lower case', '?sku=moka'],
    ['limit 0', '?limit=0'],
    ['limit 101', '?limit=101'],
    ['limit 1.5', '?limit=1.5'],
    ['a limit that is no number', '?limit=all'],
    ['two limits', '?limit=1&limit=2'],
    ['an unknown parameter', '?page=2'],
    ['__proto__', '?__proto__=1'],
    ['a cursor that is none', '?cursor=%00'],
    ['a cursor of something else', `?cursor=${Buffer.from("'; --").toString('base64url')}`],
    ['an empty cursor', '?cursor='],
    ['two cursors', '?cursor=QQ&cursor=QQ'],
  ])('refuses %s', async (_what, query) => {
    const answer = await service.get(`/api/v1/stock${query}`, tenant)
    expect(answer.statusCode).toBe(400)
    expect(answer.json()).toMatchObject({
      type: 'https://oms.example/problems/invalid-request',
      outcome: 'not_executed',
      instance: '/api/v1/stock',
    })
  })

  test('needs a tenant', async () => {
    expect((await service.get('/api/v1/stock', { 'x-tenant-id': '' })).statusCode).toBe(401)
  })

  test('is read only', async () => {
    const answer = await service.post('/api/v1/stock', { sku: 'A', supplied: 1 })
    expect(answer.statusCode).toBe(405)
    expect(answer.headers['allow']).toBe('GET')
  })
})

describe('the operation stock FILE', () => {
  const folder = mkdtempSync(join(tmpdir(), 'oms-stock-'))
  const file = join(folder, 'stock.json')
  const tenant = 'hooli'

  afterAll(() => rmSync(folder, { recursive: true }))

  async function supply(
    content: unknown,
    path: string | undefined = file,
  ): Promise<{ readonly code: number; readonly out: string[]; readonly err: string[] }> {
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content))
    const [out, err]: [string[], string[]] = [[], []]
    const app = buildApp(
      parseConfig(configSchema, {
        ...service.database.config,
        DEPLOYMENT: 'local',
        LOG_LEVEL: 'silent',
      }),
    )
    const code = await supplyStock(app, path, {
      log: (text) => void out.push(text),
      error: (text) => void err.push(text),
    })
    return { code, out, err }
  }

  const entry = (sku: string, supplied: unknown) => ({ tenant_id: tenant, sku, supplied })

  test('raises what was supplied, and run twice changes nothing', async () => {
    const content = [entry('A', 10), entry('B', 0)]
    expect(await supply(content)).toEqual({
      code: 0,
      out: ['2 entries: 2 raised, the others were there already.'],
      err: [],
    })
    expect((await supply(content)).out).toEqual([
      '2 entries: 0 raised, the others were there already.',
    ])
    expect(await service.level('A', tenant)).toEqual({ available: 10, reserved: 0, sold: 0 })
    expect(await service.level('B', tenant)).toEqual({ available: 0, reserved: 0, sold: 0 })
  })

  test('adds the difference to what is available, and never takes anything away', async () => {
    await supply([entry('C', 10)])
    await service.reserve(randomUUID(), [line('C', 4)], { 'x-tenant-id': tenant })
    await supply([entry('C', 15)])
    expect(await service.level('C', tenant)).toEqual({ available: 11, reserved: 4, sold: 0 })
    await supply([entry('C', 3)])
    expect(await service.level('C', tenant)).toEqual({ available: 11, reserved: 4, sold: 0 })
  })

  test('loads the demo catalogue: two tenants, one SKU sold out', async () => {
    const demo = new URL('../demo/stock.json', import.meta.url).pathname
    expect((await supply([], demo)).code).toBe(0)
    for (const headers of [{ 'x-tenant-id': 'acme' }, { 'x-tenant-id': 'globex' }]) {
      expect((await service.reserve(randomUUID(), [line('MOKA-POT')], headers)).statusCode).toBe(
        201,
      )
      const rare = await service.reserve(randomUUID(), [line('LIMITED-PRINT')], headers)
      expect(rare.json()).toMatchObject({ unavailable_skus: ['LIMITED-PRINT'] })
    }
  })

  test.each<[string, unknown, RegExp]>([
    ['no JSON', '[{"tenant_id":', /stock\.json is not JSON \(/],
    ['no array', { tenant_id: tenant }, /must hold an array/],
    ['a missing number', [entry('D', 1), { tenant_id: tenant, sku: 'E' }], /Entry 1 .*supplied/],
    ['a number as text', [entry('D', '5')], /Entry 0 .*\/supplied/],
    ['a fraction', [entry('D', 1.5)], /Entry 0 .*\/supplied/],
    ['a negative number', [entry('D', -1)], /Entry 0 .*\/supplied/],
    ['too much', [entry('D', 1e13)], /Entry 0 .*\/supplied/],
    ['a SKU in lower case', [entry('d', 1)], /Entry 0 .*\/sku/],
    ['a tenant that is none', [{ ...entry('D', 1), tenant_id: 'A B' }], /Entry 0 .*\/tenant_id/],
    ['an unknown field', [{ ...entry('D', 1), sold: 3 }], /Entry 0 .*additional/],
    ['null', [entry('D', 1), null], /Entry 1 /],
    ['the same twice', [entry('D', 1), entry('E', 1), entry('D', 2)], /Entries 0 and 2 .* hooli D/],
  ])(
    'refuses a file with %s, names the entry, and loads nothing of it',
    async (_what, content, message) => {
      const { code, out, err } = await supply(content)
      expect(code).toBe(2)
      expect(out).toEqual([])
      expect(err).toHaveLength(1)
      expect(err[0]).toMatch(message)
      expect(await service.level('D', tenant)).toBeUndefined()
    },
  )

  test('says which file it cannot read, and asks for one where there is none', async () => {
    const missing = await supply([], join(folder, 'none.json'))
    expect(missing).toMatchObject({
      code: 2,
      err: [expect.stringContaining('none.json cannot be read')],
    })
    const app = buildApp(
      parseConfig(configSchema, {
        ...service.database.config,
        DEPLOYMENT: 'local',
        LOG_LEVEL: 'silent',
      }),
    )
    const err: string[] = []
    const terminal = { log: () => undefined, error: (text: string) => void err.push(text) }
    expect(await supplyStock(app, undefined, terminal)).toBe(2)
    expect(err[0]).toContain('stock FILE')
  })
})
