/** What no manifest contains, made at every start: passwords, certificates, the key that signs tokens. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createAuthority, issueCertificate } from './certificates.ts'
import { GATEWAY_CA, GATEWAY_HOST } from './gateway.ts'
import { STATE_DIR } from './lab.ts'
import { createTokenKey, KEY_FILE } from './token.ts'

const NAMESPACE = 'order-management'
/** The card processor; `localhost` is for the audit, which comes by a port-forward. */
const PSP_NAMES = 'subjectAltName=DNS:psp.example.com,DNS:localhost'
/** Signed the card processor's certificate. */
export const PSP_CA = join(STATE_DIR, 'psp-ca.crt')
const DATABASE_SECRETS = [
  'postgres-superuser',
  ...['order', 'payment', 'inventory'].flatMap((service) => [
    `${service}-service-database`,
    `${service}-service-database-owner`,
  ]),
]

/** JSON, for RequestAuthentication orders-jwt. */
const TOKEN_KEYS = join(STATE_DIR, 'jwks.json')

/** Of the lab that runs. */
export function readTokenKeys(): string {
  return readFileSync(TOKEN_KEYS, 'utf8')
}

/** As k8s/README.md lists them; the keys of tokens are written beside. */
export async function createSecrets(): Promise<readonly object[]> {
  const [{ privateKey, jwks }, gateway, psp] = await Promise.all([
    createTokenKey(),
    createCertificate('gateway', `subjectAltName=DNS:${GATEWAY_HOST}`),
    createCertificate('psp', PSP_NAMES),
  ])
  writeFileSync(GATEWAY_CA, gateway.ca)
  writeFileSync(PSP_CA, psp.ca)
  writeFileSync(join(STATE_DIR, KEY_FILE), privateKey, { mode: 0o600 })
  writeFileSync(TOKEN_KEYS, JSON.stringify(jwks))
  const passwords = DATABASE_SECRETS.map((name) =>
    secret(name, NAMESPACE, { password: randomBytes(18).toString('base64url') }),
  )
  const certificates = [
    secret('orders-example-com-tls', 'istio-ingress', gateway.pair),
    secret('psp-example-com-tls', 'card-processor', psp.pair),
    secret('psp-ca', 'istio-egress', { 'ca.crt': psp.ca }),
  ]
  return [...passwords, ...certificates]
}

function secret(name: string, namespace: string, stringData: Readonly<Record<string, string>>) {
  const type = 'tls.key' in stringData ? 'kubernetes.io/tls' : 'Opaque'
  return { apiVersion: 'v1', kind: 'Secret', type, metadata: { name, namespace }, stringData }
}

/** Of an authority of its own. */
async function createCertificate(
  name: string,
  extension: string,
): Promise<{ readonly ca: string; readonly pair: Readonly<Record<string, string>> }> {
  const dir = join(STATE_DIR, 'secrets', name)
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  await createAuthority(dir, `lab-${name}-ca`)
  await issueCertificate(dir, { name, subject: `/CN=${name}`, extension })
  const read = (file: string): string => readFileSync(join(dir, file), 'utf8')
  return {
    ca: read('ca.crt'),
    pair: { 'tls.crt': read(`${name}.crt`), 'tls.key': read(`${name}.key`) },
  }
}
