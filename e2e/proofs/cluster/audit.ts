/** Money and stock after the proofs: the product's own audit, on its databases and the card processor's ledger. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exec } from '@oms/lab/command'
import { ROOT } from '@oms/lab/folders'
import type { Api } from './api.ts'
import { forwardPort } from './envoy.ts'
import { EGRESS, OM, PSP } from './names.ts'
import { podsOf } from './pods.ts'

/** Seconds until every order must be final. */
const SETTLED_WITHIN_S = '60'

export interface Audited {
  /** 0: no promise is broken; 1: one is; 2: not checked. */
  readonly code: number
  readonly said: string
}

export async function runAudit(api: Api): Promise<Audited> {
  const secret = async (namespace: string, name: string, key: string): Promise<string> => {
    const found = await api.read(`/api/v1/namespaces/${namespace}/secrets/${name}`)
    return Buffer.from(found?.['data'][key] ?? '', 'base64').toString('utf8')
  }
  const [[postgres], [processor]] = await Promise.all([
    podsOf(api, OM, 'app=postgres'),
    podsOf(api, PSP, 'app=card-processor'),
  ])
  if (postgres === undefined || processor === undefined)
    return { code: 2, said: 'PostgreSQL or the card processor has no pod.' }
  const forwards = await Promise.all([
    forwardPort(api, postgres, 5432),
    forwardPort(api, processor, 8083),
  ])
  const [database, ledger] = forwards
  const folder = mkdtempSync(join(tmpdir(), 'oms-audit-'))
  try {
    const authority = join(folder, 'ca.crt')
    writeFileSync(authority, await secret(EGRESS, 'psp-ca', 'ca.crt'))
    const password = encodeURIComponent((await secret(OM, 'postgres-superuser', 'password')).trim())
    const url = (name: string): string =>
      `postgres://postgres:${password}@127.0.0.1:${database.port}/${name}`
    const env = {
      ...process.env,
      ORDER_DATABASE_URL: url('oms_order'),
      INVENTORY_DATABASE_URL: url('oms_inventory'),
      PAYMENT_DATABASE_URL: url('oms_payment'),
      PROCESSOR_URL: `https://localhost:${ledger.port}`,
      NODE_EXTRA_CA_CERTS: authority,
    }
    const main = join(ROOT, 'audit/src/main.ts')
    const args = [main, '--settle-timeout', SETTLED_WITHIN_S]
    const { code, stdout, stderr } = await exec(process.execPath, args, { env })
    return { code, said: `${stdout}${stderr}`.trim() }
  } finally {
    rmSync(folder, { recursive: true })
    await Promise.all(forwards.map((each) => each.close()))
  }
}
