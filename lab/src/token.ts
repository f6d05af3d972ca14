/** `pnpm token --tenant acme`: a token that the lab's gateway accepts. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { exportJWK, exportPKCS8, generateKeyPair, importPKCS8, type JWK, SignJWT } from 'jose'

/** As RequestAuthentication orders-jwt demands them. */
const ISSUER = 'https://issuer.example.com'
const AUDIENCE = 'orders-api'
const LAB_KEY_ID = 'lab'
const ALGORITHM = 'ES256'

export const KEY_FILE = 'token-signing-key.pem'

export interface TokenKey {
  /** PKCS 8, PEM. */
  readonly privateKey: string
  readonly jwks: { readonly keys: readonly JWK[] }
}

export async function createTokenKey(): Promise<TokenKey> {
  const { privateKey, publicKey } = await generateKeyPair(ALGORITHM, { extractable: true })
  const jwk = { ...(await exportJWK(publicKey)), kid: LAB_KEY_ID, alg: ALGORITHM, use: 'sig' }
  return { privateKey: await exportPKCS8(privateKey), jwks: { keys: [jwk] } }
}

export interface TokenOptions {
  readonly tenant?: string
  readonly audience?: string
  readonly expiresIn?: string
  /** Default: the one that the gateway believes. */
  readonly issuer?: string
}

/** @param stateDir where `up` put the key. */
export function signToken(stateDir: string, options: TokenOptions): Promise<string> {
  const privateKey = readFileSync(join(stateDir, KEY_FILE), 'utf8')
  return signWith({ privateKey, keyId: LAB_KEY_ID }, options)
}

export interface Signer {
  /** PKCS 8, PEM. */
  readonly privateKey: string
  /** As the gateway's `jwks` names it; without one the gateway tries all of them. */
  readonly keyId?: string
}

export async function signWith(
  { privateKey, keyId }: Signer,
  { tenant, audience = AUDIENCE, expiresIn = '1h', issuer = ISSUER }: TokenOptions,
): Promise<string> {
  const key = await importPKCS8(privateKey, ALGORITHM)
  return new SignJWT(tenant === undefined ? {} : { tenant })
    .setProtectedHeader({ alg: ALGORITHM, ...(keyId === undefined ? {} : { kid: keyId }) })
    .setIssuer(issuer)
    .setSubject('lab-user')
    .setAudience(audience)
    .setIssuedAt()
    .setExpirationTime(expiresIn)
    .sign(key)
}
