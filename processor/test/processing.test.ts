import { describe, expect, test } from 'vitest'
import type { Charge, Refund } from '../src/wire.ts'
import { type Client, type Failure, startProcessor, underWay } from './running.ts'

async function stored<T = Charge>(client: Client, kind = 'charges'): Promise<readonly T[]> {
  return (await client.get<{ data: readonly T[] }>(`/v1/${kind}?merchant_reference=ref-1`)).body
    .data
}

describe('tokens', () => {
  test.each(['pm_approve0001', 'pm_norefund001', 'pm_anything000'])(
    '%s is captured at once',
    async (source) => {
      const processor = await startProcessor({ slowMs: 60_000 })
      const { status, replayed, body } = await processor.charge('k1', { source })
      expect({ status, replayed }).toEqual({ status: 200, replayed: false })
      expect(body).toMatchObject({
        object: 'charge',
        idempotency_key: 'k1',
        merchant_reference: 'ref-1',
        amount: 1999,
        currency: 'EUR',
        status: 'succeeded',
        decline_code: null,
      })
      expect(await stored(processor)).toEqual([body])
    },
  )

  test('pm_decline is declined with a code, and stays declined', async () => {
    const processor = await startProcessor()
    const first = await processor.charge('k1', { source: 'pm_decline001' })
    expect(first).toMatchObject({
      status: 200,
      body: { status: 'declined', decline_code: 'card_declined' },
    })
    const second = await processor.charge('k1', { source: 'pm_decline001' })
    expect(second).toEqual({ ...first, replayed: true })
  })

  test('pm_slow captures nothing before its delay is over', async () => {
    const processor = await startProcessor({ slowMs: 400 })
    const startedAt = performance.now()
    const answered = processor.charge('k1', { source: 'pm_slow00001' })
    await underWay(processor, 'k1')
    expect(await stored(processor)).toEqual([])
    const { body } = await answered
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(395)
    expect(body.status).toBe('succeeded')
    expect(await stored(processor)).toEqual([body])
  })

  test('pm_slow captures although its caller hung up', async () => {
    const processor = await startProcessor({ slowMs: 200 })
    const hungUp = fetch(`${processor.origin}/v1/charges`, {
      method: 'POST',
      signal: AbortSignal.timeout(50),
      headers: { 'idempotency-key': 'k1', 'content-type': 'application/json' },
      body: JSON.stringify({
        amount: 1999,
        currency: 'EUR',
        source: 'pm_slow00001',
        merchant_reference: 'ref-1',
      }),
    })
    await expect(hungUp).rejects.toThrow('timeout')
    await expect.poll(() => stored(processor)).toHaveLength(1)
    expect(await processor.charge('k1', { source: 'pm_slow00001' })).toMatchObject({
      status: 200,
      replayed: true,
    })
  })

  test('pm_lost captures, drops the first connection and answers the repeat', async () => {
    const processor = await startProcessor()
    await expect(processor.charge('k1', { source: 'pm_lost00001' })).rejects.toThrow('fetch failed')
    const [captured] = await stored(processor)
    expect(captured).toMatchObject({ status: 'succeeded', idempotency_key: 'k1' })
    const repeat = await processor.charge('k1', { source: 'pm_lost00001' })
    expect(repeat).toEqual({ status: 200, replayed: true, body: captured })
    expect(await stored(processor)).toHaveLength(1)
  })

  test('pm_error answers 500 and captures nothing, the repeat captures', async () => {
    const processor = await startProcessor()
    const failed = await processor.charge<Failure>('k1', { source: 'pm_error0001' })
    expect(failed).toMatchObject({ status: 500, body: { error: { code: 'processor_error' } } })
    expect(await stored(processor)).toEqual([])
    const repeat = await processor.charge('k1', { source: 'pm_error0001' })
    expect(repeat).toMatchObject({ status: 200, replayed: false, body: { status: 'succeeded' } })
    const another = await processor.charge<Failure>('k2', { source: 'pm_error0001' })
    expect(another.status).toBe(500)
  })

  test('pm_error remembers a key that had its error across a restart', async () => {
    const before = await startProcessor()
    expect((await before.charge('k1', { source: 'pm_error0001' })).status).toBe(500)
    await before.close()
    const after = await startProcessor({ dataDir: before.dataDir })
    expect((await after.charge('k1', { source: 'pm_error0001' })).status).toBe(200)
  })

  test('pm_norefund fails the refund :r1, before and after a restart, and grants :r2', async () => {
    const before = await startProcessor()
    const { body: charge } = await before.charge('o1:c1', { source: 'pm_norefund001' })
    const failed = await before.refund('o1:r1', { charge: charge.id })
    expect(failed.body).toMatchObject({ status: 'failed', failure_reason: 'refused_by_issuer' })
    await before.close()
    const after = await startProcessor({ dataDir: before.dataDir })
    const repeat = await after.refund('o1:r1', { charge: charge.id })
    expect(repeat).toEqual({ ...failed, replayed: true })
    const { body: other } = await after.charge('o2:c1', { source: 'pm_norefund001' })
    expect((await after.refund('o2:r1', { charge: other.id })).body.status).toBe('failed')
    expect((await after.refund('o1:r2', { charge: charge.id })).body).toMatchObject({
      status: 'succeeded',
      failure_reason: null,
      charge: charge.id,
    })
  })

  test('a refund :r1 of another token is granted', async () => {
    const processor = await startProcessor()
    const { body: charge } = await processor.charge('o1:c1')
    expect((await processor.refund('o1:r1', { charge: charge.id })).body.status).toBe('succeeded')
  })
})

describe('idempotency', () => {
  test('answers the stored object for a repeated key', async () => {
    const processor = await startProcessor()
    const first = await processor.charge('k1')
    expect(await processor.charge('k1')).toEqual({ ...first, replayed: true })
    const { body: charge } = first
    const refund = await processor.refund('k2', { charge: charge.id })
    expect(await processor.refund('k2', { charge: charge.id })).toEqual({
      ...refund,
      replayed: true,
    })
    expect(await stored(processor)).toHaveLength(1)
    expect(await stored<Refund>(processor, 'refunds')).toHaveLength(1)
  })

  test('answers the stored object for a repeated key after a restart', async () => {
    const before = await startProcessor()
    const first = await before.charge('k1')
    await before.close()
    const after = await startProcessor({ dataDir: before.dataDir })
    expect(await after.charge('k1')).toEqual({ ...first, replayed: true })
    expect((await after.charge('k1', { amount: 1 })).status).toBe(409)
  })

  test.each([
    ['amount', { amount: 2000 }],
    ['currency', { currency: 'USD' }],
    ['source', { source: 'pm_approve0002' }],
    ['merchant_reference', { merchant_reference: 'ref-2' }],
  ])('refuses a repeated key with another %s and changes nothing', async (_member, change) => {
    const processor = await startProcessor()
    const { body } = await processor.charge('k1')
    const refused = await processor.charge<Failure>('k1', change)
    expect(refused).toMatchObject({
      status: 409,
      replayed: false,
      body: { error: { code: 'idempotency_key_reuse' } },
    })
    expect(await stored(processor)).toEqual([body])
  })

  test('refuses a charge’s key for a refund', async () => {
    const processor = await startProcessor()
    const { body: charge } = await processor.charge('k1')
    expect(await processor.refund<Failure>('k1', { charge: charge.id })).toMatchObject({
      status: 409,
      body: { error: { code: 'idempotency_key_reuse' } },
    })
  })

  test.each(['pm_approve0001', 'pm_slow00001'])(
    'makes one object of 20 concurrent requests with one key, and all 20 get it (%s)',
    async (source) => {
      const processor = await startProcessor()
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => processor.charge('k1', { source })),
      )
      const [charge] = await stored(processor)
      expect(answers.map(({ status, body }) => ({ status, body }))).toEqual(
        Array.from({ length: 20 }, () => ({ status: 200, body: charge })),
      )
      expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1)
      expect(await stored(processor)).toHaveLength(1)
    },
  )

  test('refuses another body at once while the first request of a key is under way', async () => {
    const processor = await startProcessor({ slowMs: 1000 })
    const slow = processor.charge('k1', { source: 'pm_slow00001' })
    await underWay(processor, 'k1')
    const order: string[] = []
    const refused = processor.charge('k1', { source: 'pm_slow00001', amount: 1 })
    await Promise.all([
      slow.then(() => order.push('slow')),
      refused.then(({ status }) => order.push(`refused ${status}`)),
    ])
    expect(order).toEqual(['refused 409', 'slow'])
  })

  test('captures twice for one merchant reference under two keys', async () => {
    const processor = await startProcessor()
    const [first, second] = [await processor.charge('k1'), await processor.charge('k2')]
    expect(await stored(processor)).toEqual([first.body, second.body])
    expect(first.body.id).not.toBe(second.body.id)
  })

  test('does not use up a key by refusing its request', async () => {
    const processor = await startProcessor()
    expect((await processor.charge('k1', { amount: 0 })).status).toBe(400)
    expect((await processor.charge('k1')).status).toBe(200)
  })
})

describe('refund rules', () => {
  test('gives back no more than the charge, whatever the parts', async () => {
    const processor = await startProcessor()
    const { id: charge } = (await processor.charge('k1', { amount: 100 })).body
    expect((await processor.refund('r1', { charge, amount: 60 })).status).toBe(200)
    expect(await processor.refund<Failure>('r2', { charge, amount: 41 })).toMatchObject({
      status: 400,
      body: {
        error: {
          code: 'amount_too_large',
          message: `Of the charge ${charge} 40 of 100 can still be refunded, not 41.`,
        },
      },
    })
    expect((await processor.refund('r2', { charge, amount: 40 })).status).toBe(200)
    expect((await processor.refund('r3', { charge, amount: 1 })).status).toBe(400)
  })

  test('counts earlier refunds after a restart', async () => {
    const before = await startProcessor()
    const { id: charge } = (await before.charge('k1', { amount: 100 })).body
    await before.refund('r1', { charge, amount: 60 })
    await before.close()
    const after = await startProcessor({ dataDir: before.dataDir })
    expect((await after.refund('r2', { charge, amount: 41 })).status).toBe(400)
    expect((await after.refund('r2', { charge, amount: 40 })).status).toBe(200)
  })

  test('gives back once when ten keys ask for all of it at the same time', async () => {
    const processor = await startProcessor()
    const { id: charge } = (await processor.charge('k1', { amount: 100 })).body
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, i) => processor.refund(`r${i}`, { charge, amount: 100 })),
    )
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    expect(await stored<Refund>(processor, 'refunds')).toHaveLength(1)
  })

  test('a failed refund gives nothing back', async () => {
    const processor = await startProcessor()
    const { id: charge } = (await processor.charge('c1', { source: 'pm_norefund001' })).body
    expect((await processor.refund('o:r1', { charge })).body.status).toBe('failed')
    expect((await processor.refund('o:r2', { charge })).body.status).toBe('succeeded')
  })

  test('refuses to refund a declined charge', async () => {
    const processor = await startProcessor()
    const { id: charge } = (await processor.charge('k1', { source: 'pm_decline001' })).body
    expect(await processor.refund<Failure>('r1', { charge })).toMatchObject({
      status: 400,
      body: { error: { code: 'charge_not_captured' } },
    })
  })

  test('answers 404 for a charge that does not exist', async () => {
    const processor = await startProcessor()
    expect(await processor.refund<Failure>('r1', { charge: 'ch_none' })).toMatchObject({
      status: 404,
      body: { error: { code: 'not_found' } },
    })
  })
})

describe('ids', () => {
  test('are the same for the same seed and calls, and others for another seed', async () => {
    const ids = async (seed: string): Promise<string[]> => {
      const processor = await startProcessor({ seed })
      const charge = (await processor.charge('k1')).body
      const refund = (await processor.refund('k2', { charge: charge.id })).body
      return [charge.id, refund.id]
    }
    const [first, second, other] = [await ids('a'), await ids('a'), await ids('b')]
    expect(second).toEqual(first)
    expect(new Set([...first, ...other]).size).toBe(4)
  })

  test('go on after a restart instead of beginning again', async () => {
    const before = await startProcessor()
    const first = (await before.charge('k1')).body
    await before.close()
    const after = await startProcessor({ dataDir: before.dataDir })
    expect((await after.charge('k2')).body.id).not.toBe(first.id)
  })
})
