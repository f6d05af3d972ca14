/** `pnpm lab audit`: the promises about money and stock, checked on the databases and the ledger inside the lab. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { hand, LabError } from './command.ts'
import { ROOT } from './folders.ts'
import { createKubectl, KUBECONFIG } from './kubectl.ts'
import { PSP_CA } from './secrets.ts'
import { requireTools } from './tools.ts'

export const AUDIT = join(ROOT, 'audit/src/main.ts')

/** @param flags of the audit program. Resolves with its exit code: 0 no promise is broken, 1 one is, 2 not checked. */
export async function audit(flags: readonly string[]): Promise<number> {
  const program = requireTools().program('kubernetes', 'kubectl')
  const kubectl = createKubectl(program)
  const encoded = await kubectl(
    ...['-n', 'order-management', 'get', 'secret', 'postgres-superuser'],
    ...['-o', 'jsonpath={.data.password}'],
  )
  const password = Buffer.from(encoded, 'base64').toString('utf8').trim()
  const forwarding: ChildProcess[] = []
  const forward = (namespace: string, target: string, port: number): Promise<number> => {
    const args = ['--kubeconfig', KUBECONFIG, '-n', namespace, 'port-forward', target, `:${port}`]
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    forwarding.push(child)
    return portOf(child, `${target} in ${namespace}`)
  }
  try {
    const [postgres, processor] = await Promise.all([
      forward('order-management', 'pod/postgres-0', 5432),
      forward('card-processor', 'deployment/card-processor', 8083),
    ])
    const env = auditEnvironment({ postgres, password, processor, authority: PSP_CA })
    return (await hand(process.execPath, [AUDIT, ...flags], { env })) ?? 2
  } finally {
    for (const child of forwarding) child.kill()
  }
}

export interface AuditDoors {
  /** Ports on 127.0.0.1. */
  readonly postgres: number
  readonly processor: number
  /** The superuser's. */
  readonly password: string
  /** Path of who signed the processor's certificate. */
  readonly authority: string
}

/** What the audit program reads of its surroundings. */
export function auditEnvironment(doors: AuditDoors): NodeJS.ProcessEnv {
  const password = encodeURIComponent(doors.password)
  const url = (database: string): string =>
    `postgres://postgres:${password}@127.0.0.1:${doors.postgres}/${database}`
  return {
    ...process.env,
    ORDER_DATABASE_URL: url('oms_order'),
    INVENTORY_DATABASE_URL: url('oms_inventory'),
    PAYMENT_DATABASE_URL: url('oms_payment'),
    PROCESSOR_URL: `https://localhost:${doors.processor}`,
    NODE_EXTRA_CA_CERTS: doors.authority,
  }
}

/** The port on 127.0.0.1 that leads to the pod's own. @throws LabError with what kubectl said. */
async function portOf(child: ChildProcess, target: string): Promise<number> {
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      said += chunk.toString('utf8')
    })
  const ended = once(child, 'exit')
  for (;;) {
    const found = /^Forwarding from 127\.0\.0\.1:(\d+)/m.exec(said)
    if (found !== null) return Number(found[1])
    if (child.exitCode !== null || child.signalCode !== null)
      throw new LabError(`${target} cannot be reached: ${said.trim()}`)
    await Promise.race([once(child.stdout as NodeJS.ReadableStream, 'data'), ended])
  }
}
