import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLocalJWKSet, jwtVerify } from 'jose'
import { expect, onTestFinished, test } from 'vitest'
import { createTokenKey, KEY_FILE, signToken } from '../../src/token.ts'

test('a token says what the gateway demands, and its public key is all that is needed to check it', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'oms-token-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  const { privateKey, jwks } = await createTokenKey()
  writeFileSync(join(dir, KEY_FILE), privateKey)
  const token = await signToken(dir, { tenant: 'acme' })
  const { payload } = await jwtVerify(token, createLocalJWKSet({ keys: [...jwks.keys] }), {
    issuer: 'https://issuer.example.com',
    audience: 'orders-api',
  })
  expect(payload['tenant']).toBe('acme')
  expect(JSON.stringify(jwks)).not.toContain('"d"')
})
