/** What no manifest contains, made at every start: passwords, the gateway's certificate, the key that signs tokens. */
import { randomBytes } from 'node:crypto'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createAuthority, issueCertificate } from './certificates.ts'
import { GATEWAY_CA, GATEWAY_HOST } from './gateway.ts'
import { STATE_DIR } from './lab.ts'
import { createTokenKey, KEY_FILE } from './token.ts'

const NAMESPACE = 'order-management'
const DATABASE_SECRETS = [
  'postgres-superuser',
  ...['order', 'payment', 'inventory'].flatMap((service) => [
    `${service}-service-database`,
    `${service}-service-database-owner`,
  ]),
]

export interface Secrets {
  /** Secrets, as k8s/README.md lists them. */
  readonly objects: readonly object[]
  /** JSON, for RequestAuthentication orders-jwt. */
  readonly jwks: string
}

export async function createSecrets(): Promise<Secrets> {
  const dir = join(STATE_DIR, 'secrets')
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const [{ privateKey, jwks }] = await Promise.all([
    createTokenKey(),
    createGatewayCertificate(dir),
  ])
  writeFileSync(join(STATE_DIR, KEY_FILE), privateKey, { mode: 0o600 })
  const passwords = DATABASE_SECRETS.map((name) => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name, namespace: NAMESPACE },
    stringData: { password: randomBytes(18).toString('base64url') },
  }))
  const certificate = {
    apiVersion: 'v1',
    kind: 'Secret',
    type: 'kubernetes.io/tls',
    metadata: { name: 'orders-example-com-tls', namespace: 'istio-ingress' },
    stringData: {
      'tls.crt': readFileSync(join(dir, 'gateway.crt'), 'utf8'),
      'tls.key': readFileSync(join(dir, 'gateway.key'), 'utf8'),
    },
  }
  return { objects: [...passwords, certificate], jwks: JSON.stringify(jwks) }
}

async function createGatewayCertificate(dir: string): Promise<void> {
  await createAuthority(dir, 'lab-gateway-ca')
  await issueCertificate(dir, {
    name: 'gateway',
    subject: `/CN=${GATEWAY_HOST}`,
    extension: `subjectAltName=DNS:${GATEWAY_HOST}`,
  })
  copyFileSync(join(dir, 'ca.crt'), GATEWAY_CA)
}
