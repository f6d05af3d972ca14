import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Type } from 'typebox'
import { describe, expect, test } from 'vitest'
import { ConfigError, chassisConfig, parseConfig, readSecret } from '../src/config.ts'

const schema = Type.Object({
  ...chassisConfig,
  MODE: Type.Enum(['fast', 'slow'], { default: 'fast' }),
  LIMIT: Type.Integer({ minimum: 1, description: 'How many.' }),
})

const complete = {
  DEPLOYMENT: 'local',
  DATABASE_URL: 'postgres://role@localhost:5432/db',
  LIMIT: '3',
}

describe('the configuration', () => {
  test('is typed, and has its defaults', () => {
    expect(parseConfig(schema, complete)).toMatchObject({
      LIMIT: 3,
      MODE: 'fast',
      PORT: 8080,
      HOST: '127.0.0.1',
      POOL_SIZE: 10,
      DRAIN_DELAY_MS: 5000,
      TRACE_RATIO: 0.1,
      TRACE_EXPORTER: 'none',
    })
  })

  test('complains once, about everything, with meaning and choices', () => {
    let message = ''
    try {
      parseConfig(schema, { PORT: '70000', MODE: 'medium', TRACE_RATIO: 'much', LIMIT: '1.5' })
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigError)
      message = (error as Error).message
    }
    expect(message.split('\n').slice(1).sort()).toEqual([
      '  DATABASE_URL is missing: postgres://role@host:port/database, without the password.',
      expect.stringContaining('  DEPLOYMENT is missing: Part of the key'),
      expect.stringContaining('  LIMIT must be integer'),
      expect.stringContaining('  MODE must be equal to one of the allowed values: fast, slow'),
      expect.stringContaining('  PORT must be <= 65535'),
      expect.stringContaining('  TRACE_RATIO must be number'),
    ])
  })

  test('takes an empty variable as absent', () => {
    expect(parseConfig(schema, { ...complete, MODE: '', PORT: '' })).toMatchObject({
      MODE: 'fast',
      PORT: 8080,
    })
    expect(() => parseConfig(schema, { ...complete, LIMIT: '' })).toThrow(
      'LIMIT is missing: How many.',
    )
  })

  test('holds no variable that nobody asked for', () => {
    const values = parseConfig(schema, { ...complete, HOME: '/home/someone', SECRET: 'x' })
    expect(values).not.toHaveProperty('HOME')
    expect(values).not.toHaveProperty('SECRET')
  })

  test('is the same for a second reader', () => {
    parseConfig(schema, { ...complete, MODE: 'slow' })
    expect(parseConfig(schema, complete).MODE).toBe('fast')
  })

  test('never shows a value in its complaints', () => {
    expect(() => parseConfig(schema, { ...complete, DATABASE_URL: 'canary' })).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining('canary') }),
    )
  })

  test('that is not complete ends a program with 1 and the complaints', () => {
    const module = fileURLToPath(new URL('../src/config.ts', import.meta.url))
    const node = fileURLToPath(new URL('../../../node_modules/.bin/node', import.meta.url))
    const script = `const { loadConfig } = await import(${JSON.stringify(module)}); loadConfig({ type: 'object', properties: { A: { type: 'string' } }, required: ['A'] }, {}); console.log('went on')`
    const { status, stderr, stdout } = spawnSync(node, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
    })
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(stderr).toBe(
      'The configuration is not complete. Set these environment variables and start again:\n  A is missing: \n',
    )
  })
})

describe('a secret', () => {
  test.each([
    ['s3cret', 's3cret'],
    ['s3cret\n', 's3cret'],
    ['s3cret\r\n', 's3cret'],
    ['s3cret\n\n', 's3cret\n'],
    [' s3cret ', ' s3cret '],
  ])('is what its file %j says, less the last newline', (text, secret) => {
    const folder = mkdtempSync(join(tmpdir(), 'oms-secret-'))
    writeFileSync(join(folder, 'secret'), text)
    expect(readSecret(join(folder, 'secret'))).toBe(secret)
    rmSync(folder, { recursive: true })
  })

  test('is absent without a path, and an unreadable path is named', () => {
    expect(readSecret(undefined)).toBeUndefined()
    expect(() => readSecret('/no/such/file')).toThrow(
      'The secret file /no/such/file cannot be read; check path and mode.',
    )
  })
})
