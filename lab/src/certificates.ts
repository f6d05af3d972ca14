/** X.509 by openssl: an authority in a folder, and what it signs. Valid for 30 days: nothing of a lab lives longer. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './command.ts'

export interface CertificateRequest {
  readonly name: string
  /** As `openssl req -subj` takes it. */
  readonly subject: string
  /** One line of an extension file. */
  readonly extension: string
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
const DAYS = ['-days', '30']

/** Writes `ca.crt` and `ca.key`. */
export async function createAuthority(dir: string, name: string): Promise<void> {
  const out = ['-keyout', join(dir, 'ca.key'), '-out', join(dir, 'ca.crt')]
  await run('openssl', ['req', '-x509', ...NEW_KEY, ...out, '-subj', `/CN=${name}`, ...DAYS])
}

/** Writes `<name>.crt` and `<name>.key`, signed by the folder's authority. */
export async function issueCertificate(
  dir: string,
  { name, subject, extension }: CertificateRequest,
): Promise<void> {
  const at = (suffix: string): string => join(dir, `${name}.${suffix}`)
  const authority = ['-CA', join(dir, 'ca.crt'), '-CAkey', join(dir, 'ca.key')]
  writeFileSync(at('ext'), extension)
  await run('openssl', [
    ...['req', ...NEW_KEY, '-keyout', at('key'), '-out', at('csr'), '-subj', subject],
  ])
  await run('openssl', [
    ...['x509', '-req', '-in', at('csr'), ...authority, '-out', at('crt')],
    ...['-extfile', at('ext'), ...DAYS],
  ])
}
