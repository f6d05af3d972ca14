import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '@oms/chassis/embedded-postgres'
import { TEST_PASSWORD } from '@oms/chassis/testing'
import pg from 'pg'
import { afterAll, beforeEach, describe, expect, inject, test } from 'vitest'
import type { Config } from '../src/config.ts'
import { SERVICES } from '../src/databases.ts'
import { provision } from '../src/provision.ts'

const folder = mkdtempSync(join(tmpdir(), 'oms-provision-'))
const superuser = new URL(inject('postgresUrl'))
const config: Config = {
  DATABASE_URL: `postgres://${superuser.username}@${superuser.host}`,
  DATABASE_PASSWORD_FILE: join(folder, 'superuser'),
  SERVICE_PASSWORDS_DIR: join(folder, 'service'),
  OWNER_PASSWORDS_DIR: join(folder, 'owner'),
}

beforeEach(() => {
  writeFileSync(config.DATABASE_PASSWORD_FILE as string, `${superuser.password}\n`)
  for (const dir of [config.SERVICE_PASSWORDS_DIR, config.OWNER_PASSWORDS_DIR]) {
    mkdirSync(dir, { recursive: true })
    // The roles are the whole run's: other files log in with this password meanwhile.
    for (const service of SERVICES) writeFileSync(join(dir, service), `${TEST_PASSWORD}\n`)
  }
})
afterAll(async () => {
  for (const service of SERVICES)
    await query(superuser.username, 'postgres', `DROP DATABASE oms_${service} WITH (FORCE)`)
  rmSync(folder, { recursive: true })
})

async function query(user: string, database: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client(`postgres://${user}:${TEST_PASSWORD}@${superuser.host}/${database}`)
  await client.connect()
  try {
    return (await client.query(sql)).rows
  } finally {
    await client.end()
  }
}

async function told(over: Partial<Config> = {}) {
  const out: string[] = []
  const err: string[] = []
  const code = await provision(
    { ...config, ...over },
    { log: (line) => out.push(line), error: (line) => err.push(line) },
  )
  return { code, out, err: err.join('\n') }
}

describe('the provisioning', () => {
  test('gives every service a database of its own, twice over', async () => {
    const lines = SERVICES.map((service) => `oms_${service} is set up`)
    expect(await told()).toEqual({ code: 0, out: lines, err: '' })
    expect(await told()).toEqual({ code: 0, out: lines, err: '' })
    for (const service of SERVICES) {
      const role = `oms_${service}`
      await query(`${role}_owner`, role, 'CREATE TABLE IF NOT EXISTS oms.a_table (a int)')
      await expect(query(role, role, 'CREATE TABLE oms.another (a int)')).rejects.toThrow(
        /permission denied/,
      )
      for (const other of SERVICES.filter((each) => each !== service))
        await expect(query(role, `oms_${other}`, 'SELECT 1')).rejects.toThrow(/permission denied/)
    }
  })

  test('bounds statements of inventory tighter than the others', async () => {
    const timeouts = SERVICES.map(async (service) => [
      service,
      ...(await query(`oms_${service}`, `oms_${service}`, 'SHOW statement_timeout')),
    ])
    expect(await Promise.all(timeouts)).toEqual([
      ['order', { statement_timeout: '1500ms' }],
      ['payment', { statement_timeout: '1500ms' }],
      ['inventory', { statement_timeout: '700ms' }],
    ])
  })

  test.each([
    ['is missing', () => rmSync(join(folder, 'owner', 'payment')), /payment cannot be read; check/],
    ['is empty', () => writeFileSync(join(folder, 'service', 'order'), '\n'), /order is empty;/],
    ['is wrong', () => writeFileSync(join(folder, 'superuser'), 'x'), /password authentication/],
  ])('says which password %s', async (_what, spoil, sentence) => {
    spoil()
    const { code, err } = await told()
    expect(err).toMatch(sentence)
    expect(code).toBe(1)
  })

  test('says that PostgreSQL is not there', async () => {
    const DATABASE_URL = `postgres://postgres@127.0.0.1:${await freePort()}`
    const { code, err } = await told({ DATABASE_URL })
    expect(err).toMatch(/could not be set up: connect ECONNREFUSED .*Check DATABASE_URL/)
    expect(code).toBe(1)
  })
})
