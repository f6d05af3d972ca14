/** Money and stock after the proofs: the product's own audit, on its databases and the card processor's ledger. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AUDIT, auditEnvironment } from '@oms/lab/audit'
import { exec } from '@oms/lab/command'
import type { Api } from './api.ts'
import { forwardPort } from './envoy.ts'
import { EGRESS, OM, PSP } from './names.ts'
import { AMOUNT, TENANT } from './payment.ts'
import { podsOf } from './pods.ts'

/** Seconds within which an ended order is announced where publishers die and databases are slow; their claim lasts 5 s. */
const ANNOUNCED = ['--announce-limit', '15'] as const
/** Until every order must be final. */
const SETTLED = ['--settle-timeout', '60'] as const

export interface Audited {
  /** Promises that were checked, as `I1 charged at most once`. */
  readonly checked: readonly string[]
  /** What breaks one. */
  readonly broken: readonly string[]
  /** Charges that probes made, each once by the tables and by the processor's own ledger. */
  readonly direct: number
}

interface Row {
  readonly id: string
  readonly promise: string
  readonly result: 'ok' | 'violated' | 'not checked'
  readonly findings: readonly { readonly subject: string; readonly why: string }[]
}

/** What the audit says of a charge without an order that was made exactly once. */
const ONCE = `${AMOUNT} kept instead of 0 by the payment tables; ${AMOUNT} kept instead of 0 by the processor`
/** Its other complaint about them, which is true. */
const WITHOUT_ORDER = 'payment or reservation of an order this tenant has not'

function judge(rows: readonly Row[]): Audited {
  const findings = rows.flatMap(({ id, findings: found }) => found.map((each) => ({ id, ...each })))
  const isDirect = ({ subject }: { subject: string }): boolean => subject.startsWith(`${TENANT}/`)
  const once = findings.filter((each) => isDirect(each) && each.id === 'I1' && each.why === ONCE)
  const broken = findings.filter(
    (each) => !(isDirect(each) && (each.why === ONCE || each.why === WITHOUT_ORDER)),
  )
  return {
    checked: rows
      .filter(({ result }) => result !== 'not checked')
      .map(({ id, promise }) => `${id} ${promise}`),
    broken: broken.map(({ id, subject, why }) => `${id} ${subject}: ${why}`),
    direct: once.length,
  }
}

/** @param env doors of the databases and the processor. @throws Error where the audit could not look. */
export async function askAudit(env: NodeJS.ProcessEnv, flags: readonly string[]): Promise<Audited> {
  const { code, stdout, stderr } = await exec(
    process.execPath,
    [AUDIT, '--json', ...ANNOUNCED, ...flags],
    {
      env,
    },
  )
  if (code > 1) throw new Error(stderr.trim())
  return judge(JSON.parse(stdout).rows)
}

async function readSecret(api: Api, namespace: string, name: string, key: string): Promise<string> {
  const found = await api.read(`/api/v1/namespaces/${namespace}/secrets/${name}`)
  return Buffer.from(found?.['data'][key] ?? '', 'base64').toString('utf8')
}

/** Of PostgreSQL, in order-management. */
export async function superuserPassword(api: Api): Promise<string> {
  return (await readSecret(api, OM, 'postgres-superuser', 'password')).trim()
}

/** @throws Error where the audit could not look. */
export async function runAudit(api: Api, flags: readonly string[] = SETTLED): Promise<Audited> {
  const [[postgres], [processor]] = await Promise.all([
    podsOf(api, OM, 'app=postgres'),
    podsOf(api, PSP, 'app=card-processor'),
  ])
  if (postgres === undefined || processor === undefined)
    throw new Error('PostgreSQL or the card processor has no pod.')
  const forwards = await Promise.all([
    forwardPort(api, postgres, 5432),
    forwardPort(api, processor, 8083),
  ])
  const [database, ledger] = forwards
  const folder = mkdtempSync(join(tmpdir(), 'oms-audit-'))
  try {
    const authority = join(folder, 'ca.crt')
    writeFileSync(authority, await readSecret(api, EGRESS, 'psp-ca', 'ca.crt'))
    const env = auditEnvironment({
      postgres: database.port,
      processor: ledger.port,
      password: await superuserPassword(api),
      authority,
    })
    return await askAudit(env, flags)
  } finally {
    rmSync(folder, { recursive: true })
    await Promise.all(forwards.map((each) => each.close()))
  }
}
