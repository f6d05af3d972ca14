import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { readConfig } from '../src/config.ts'
import { emptyFolder, spawnListening, spawnProcessor, underWay } from './running.ts'

describe('the configuration', () => {
  test('needs DATA_DIR alone', () => {
    expect(readConfig({ DATA_DIR: '/data', PORT: '' })).toEqual({
      HOST: '127.0.0.1',
      PORT: 8083,
      DATA_DIR: '/data',
      SEED: 'demo',
      SLOW_MS: 3000,
      tls: undefined,
    })
  })

  test.each([
    ['PORT', '65536'],
    ['PORT', 'http'],
    ['PORT', '-1'],
    ['SLOW_MS', '3s'],
    ['TLS_CERT_FILE', '/etc/hostname'],
    ['TLS_KEY_FILE', '/etc/hostname'],
  ])('refuses %s=%s', (name, value) => {
    expect(() => readConfig({ DATA_DIR: '/data', [name]: value })).toThrow(name)
  })

  test('refuses TLS files that are missing or no PEM', () => {
    const text = join(emptyFolder(), 'text')
    writeFileSync(text, 'text')
    const env = { DATA_DIR: '/data', TLS_CERT_FILE: text, TLS_KEY_FILE: text }
    expect(() => readConfig(env)).toThrow('must be a PEM certificate and its key')
    expect(() => readConfig({ ...env, TLS_KEY_FILE: `${text}.key` })).toThrow('cannot be read')
  })

  test('ends the program with 1 and one message that names everything wrong', async () => {
    const refused = spawnProcessor({ PORT: 'x', SLOW_MS: 'y', TLS_KEY_FILE: '/k' })
    expect(await refused.exited).toEqual({ code: 1, signal: null })
    expect(refused.output()).toBe(
      [
        'The configuration is not complete. Set these environment variables and start again:',
        '  DATA_DIR is missing: the folder of the ledger',
        '  PORT must be a whole number from 0 to 65535',
        '  SLOW_MS must be a whole number from 0 to 600000',
        '  TLS_CERT_FILE is missing: TLS_KEY_FILE is set, https needs both, http none',
        '',
      ].join('\n'),
    )
  })

  test('refuses a DATA_DIR that cannot be written with one sentence', async () => {
    const file = join(emptyFolder(), 'file')
    writeFileSync(file, '')
    const refused = spawnProcessor({ DATA_DIR: join(file, 'data') })
    expect((await refused.exited).code).toBe(1)
    expect(refused.output()).toContain('cannot be written')
    expect(refused.output().trim().split('\n')).toHaveLength(1)
  })
})

describe('the process', () => {
  test('says in one sentence that its port is taken, and leaves the ledger free', async () => {
    const holder = createServer()
    await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void holder.close())
    const { port } = holder.address() as { port: number }
    const dataDir = emptyFolder()
    const refused = spawnProcessor({ DATA_DIR: dataDir, PORT: String(port) })
    expect(await refused.exited).toEqual({ code: 1, signal: null })
    expect(refused.output()).toBe(
      `Port ${port} on 127.0.0.1 is taken; stop what listens there or set PORT to another.\n`,
    )
    expect(() => readFileSync(join(dataDir, 'ledger.jsonl.lock'))).toThrow('ENOENT')
  })

  test.each(['SIGTERM', 'SIGINT'] as const)(
    'ends with 0 on %s, with a slow charge under way and idle connections open',
    async (signal) => {
      const dataDir = emptyFolder()
      const running = await spawnListening({ DATA_DIR: dataDir, SLOW_MS: '600000' })
      const slow = running.charge('k1', { source: 'pm_slow00001' })
      await underWay(running, 'k1')
      running.child.kill(signal)
      expect(await running.exited).toEqual({ code: 0, signal: null })
      const { body } = await slow
      expect(body.status).toBe('succeeded')
      expect(readFileSync(join(dataDir, 'ledger.jsonl'), 'utf8')).toContain(body.id)
    },
  )

  test('logs one line a request, without its token', async () => {
    const running = await spawnListening({ DATA_DIR: emptyFolder() })
    await running.charge('k1', { source: 'pm_approvesecret' })
    await running.charge('k2', { source: 'pm_approvesecret', amount: 0 })
    await running.get('/health')
    running.child.kill('SIGTERM')
    await running.exited
    const lines = running.output().trim().split('\n')
    expect(lines.filter((line) => line.includes('"msg":"request"'))).toHaveLength(2)
    expect(running.output()).not.toContain('secret')
  })

  test('serves https with a certificate and its key, and no http then', async () => {
    const folder = emptyFolder()
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
    execFileSync(
      'openssl',
      `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout ${key} -out ${cert}`.split(
        ' ',
      ),
      { stdio: 'pipe' },
    )
    const running = await spawnListening({
      DATA_DIR: join(folder, 'data'),
      TLS_CERT_FILE: cert,
      TLS_KEY_FILE: key,
    })
    expect(running.origin).toMatch(/^https:/)
    const status = await new Promise((resolve, reject) => {
      request(`${running.origin}/health`, { ca: readFileSync(cert), agent: false }, (response) => {
        response.resume()
        resolve(response.statusCode)
      })
        .on('error', reject)
        .end()
    })
    expect(status).toBe(200)
    await expect(fetch(running.origin.replace('https', 'http'))).rejects.toThrow('fetch failed')
  })
})
