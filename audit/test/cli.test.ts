/** The command line: usage, files, exit codes. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { json } from '@oms/chassis/testing'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { asRole, createWorld, ORDERS, type World } from './world.ts'

let world: World
const folder = mkdtempSync(join(tmpdir(), 'oms-audit-'))
beforeAll(async () => {
  world = await createWorld()
})
afterEach(() => world.restore())
afterAll(async () => {
  await world.drop()
  rmSync(folder, { recursive: true })
})

/** A file of the given text. */
const file = (name: string, text: string): string => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

describe('exit code 2 with a sentence', () => {
  const refuses = async (
    argv: readonly string[],
    sentence: RegExp,
    env: Readonly<Record<string, string>> = {},
  ): Promise<void> => {
    const { code, out, err } = await world.run(argv, env)
    expect(err).toMatch(sentence)
    expect(err.trim().split('\n').length).toBeLessThanOrEqual(2)
    expect(out).toBe('')
    expect(code).toBe(2)
  }

  it('for a database that does not answer', () =>
    refuses([], /^oms_payment cannot be reached: .*ECONNREFUSED.* Check its URL/, {
      PAYMENT_DATABASE_URL: 'postgres://postgres:x@127.0.0.1:1/oms_payment',
    }))

  it('for a database that does not exist', () =>
    refuses(
      ['--order-url', `${world.env['ORDER_DATABASE_URL']}_x`],
      /^oms_order cannot be reached: database .* does not exist/,
    ))

  it('for a database without its schema', () =>
    refuses([], /^oms_inventory has no schema of this version .* run its migrations/, {
      INVENTORY_DATABASE_URL: world.env['ORDER_DATABASE_URL'] ?? '',
    }))

  it('for a role that does not see every tenant', async () => {
    const urls = await asRole(world, 'oms_order')
    await refuses([], /^The role for oms_order does not see every tenant; connect as/, {
      ORDER_DATABASE_URL: urls['ORDER_DATABASE_URL'] ?? '',
    })
  })

  it('for a missing URL', () =>
    refuses([], /^Set INVENTORY_DATABASE_URL or --inventory-url/, { INVENTORY_DATABASE_URL: '' }))

  it('for a URL of something else', () =>
    refuses(['--order-url', 'http://x'], /^ORDER_DATABASE_URL \(--order-url\) is no postgres/))

  it('for a processor that does not answer', () =>
    refuses(['--processor-url', 'http://127.0.0.1:1'], /^The processor cannot be read at .*:1\//))

  it('for a processor that answers something else', async () => {
    world.processor.answer((_request, response) => json(response, 200, { items: [] }))
    await refuses(['--processor-url', world.processor.origin], /charges at .* are no list/)
  })

  it('for a processor whose pages do not end', async () => {
    world.processor.answer((_request, response) =>
      json(response, 200, { data: [], has_more: true }),
    )
    await refuses(['--processor-url', world.processor.origin], /list of charges does not get past/)
  })

  it('for metrics out of reach', () =>
    refuses(['--metrics', 'http://127.0.0.1:1/metrics'], /^The metrics cannot be read at/))

  it('for a file that is not there', () =>
    refuses(['--acks', join(folder, 'none')], /none cannot be read: ENOENT/))

  it('for a line that is no acknowledgement', () =>
    refuses(
      ['--acks', file('bad', '{"tenant_id":"acme"}\n{}\n')],
      /bad, line 1 has no order_id\.$/m,
    ))

  it('for a line that is no JSON', () =>
    refuses(['--answers', file('torn', 'x\n{}\n')], /torn, line 1 has no JSON\.$/m))

  it('for an unknown flag', () => refuses(['--acknowledged'], /Unknown option '--acknowledged'/))
  it('for an unknown command', () => refuses(['check'], /^There is no command "check"/))
  it('for a number that is none', () =>
    refuses(['--settle-timeout', 'soon'], /^--settle-timeout takes seconds, not "soon"/))
  it('for an unknown processor mode', () =>
    refuses(['--psp-mode', 'fake'], /is http or simulated, not "fake"/))
})

describe('recordings', () => {
  it('may end in a line that is still being written', async () => {
    const line = JSON.stringify(world.recorded.acks[0])
    const path = file('growing', `${line}\n${line.slice(0, 40)}`)
    const { rows, err } = await world.run(['--json', '--acks', path])
    expect(err).toBe('')
    expect(rows[2]).toMatchObject({ result: 'ok', note: '1 acknowledgements' })
  })

  it('may lack the last line break', async () => {
    const ack = { ...world.recorded.acks[0], order_id: ORDERS.stranger }
    const { rows } = await world.run(['--json', '--acks', file('last', JSON.stringify(ack))])
    expect(rows[2]?.result).toBe('violated')
  })

  it('acknowledge by a 2xx or a final problem alone', async () => {
    const ack = { ...world.recorded.acks[0], order_id: ORDERS.stranger, status: 429 }
    const { rows } = await world.run(['--json', '--acks', file('shed', JSON.stringify(ack))])
    expect(rows[2]).toMatchObject({ result: 'ok', note: '0 acknowledgements' })
  })

  it('may not know the price behind a 202', async () => {
    const { amount_minor: _amount, ...ack } = world.recorded.acks[0] ?? { amount_minor: 0 }
    const { rows } = await world.run(['--json', '--acks', file('bare', JSON.stringify(ack))])
    expect(rows[2]).toMatchObject({ result: 'ok', note: '1 acknowledgements' })
  })
})

describe('the program', () => {
  const main = new URL('../src/main.ts', import.meta.url).pathname
  const start = (argv: readonly string[]): Promise<{ code: number; stdout: string }> =>
    promisify(execFile)(process.execPath, [main, ...argv], {
      env: { ...process.env, ...world.env },
    }).then(
      ({ stdout }) => ({ code: 0, stdout }),
      ({ code, stdout }: { code: number; stdout: string }) => ({ code, stdout }),
    )

  it('exits 0, and prints no colours into a pipe', async () => {
    const { code, stdout } = await start([])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^I1 .*\n(.*\n)*I12 /)
    expect(stdout).not.toContain('\u001b')
  })

  it('exits 1 on a violation, and names the order', async () => {
    await world.force(
      world.order,
      `UPDATE oms.order_event SET type = 'order.confirmed' WHERE tenant_id = 'acme' AND order_id = $1`,
      [ORDERS.declined],
    )
    const { code, stdout } = await start([])
    expect(code).toBe(1)
    expect(stdout).toContain('I11  announced exactly once')
    expect(stdout).toContain(`     acme/${ORDERS.declined}: declined, announced as order.confirmed`)
  })

  it('exits 2 on bad usage', async () => {
    expect((await start(['--nothing'])).code).toBe(2)
  })

  it('explains itself', async () => {
    const { code, stdout } = await start(['--help'])
    expect(code).toBe(0)
    expect(stdout).toContain('ORDER_DATABASE_URL')
  })
})
