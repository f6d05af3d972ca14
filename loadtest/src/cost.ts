/** `pnpm loadtest:cost`: what an order costs with the mesh and without it, and what tracing adds, in one run. */
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { ROOT } from '@oms/lab/folders'
import { cachedTools } from '@oms/lab/tools'
import { until } from '@oms/proofs/cluster/api'
import type { Mesh } from '@oms/proofs/cluster/mesh'
import { INGRESS, OM, SERVICES } from '@oms/proofs/cluster/names'
import { isReady, podsOf, untilRolledOut } from '@oms/proofs/cluster/pods'
import { arrive, onSignal, runCommand } from '@oms/proofs/session'
import { markdownTable, withPart } from '@oms/report/markdown'
import { openCluster } from './cluster.ts'
import { LoadtestError } from './errors.ts'
import { deploymentPath, withEnvironment } from './faults.ts'
import { findK6, startK6 } from './k6.ts'
import type { OrderTold, Plan } from './plan.ts'
import type { Target } from './target.ts'

const USAGE = `pnpm loadtest:cost [--rounds N] [--write]
  --rounds  of each arm (2)
  --write   puts the table into docs/performance.md`

interface Arm {
  readonly name: string
  readonly sidecars: boolean
  /** Share of orders that are traced. */
  readonly sampled: number
}

/** In the order in which they take turns: the sidecars go and come once a round. */
const ARMS: readonly Arm[] = [
  { name: 'no sidecars, no traces', sidecars: false, sampled: 0 },
  { name: 'sidecars, no traces', sidecars: true, sampled: 0 },
  { name: 'sidecars, 10 % of orders traced', sidecars: true, sampled: 0.1 },
  { name: 'sidecars, all orders traced', sidecars: true, sampled: 1 },
]
const DOCUMENT = join(ROOT, 'docs/performance.md')
const CALLERS = 8
const WARM_SECONDS = 10
const SECONDS = 30
/** Longer than the kubelet's oldest figure. */
const FIGURES_MS = 22_000

const PARTS = ['applications', 'sidecars', 'gateway', 'PostgreSQL'] as const
type Part = (typeof PARTS)[number]

/** CPU seconds. */
type Cpu = Readonly<Record<Part, number>>

interface Round {
  readonly ordersPerSecond: number
  readonly p50: number
  readonly p99: number
  /** Milliseconds an order. */
  readonly cpu: Cpu
}

async function cost(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '2' },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return console.info(USAGE)
  const rounds = Number(values.rounds)
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 20)
    throw new LoadtestError('--rounds takes a number from 1 to 20.')
  const program = await findK6(cachedTools()?.program('k6', 'k6'))
  const session = await arrive({ context: 'lab', touch: [], keep: false })
  const target = await openCluster({ session })
  const mesh = target.cluster?.mesh as Mesh
  const leave = async (): Promise<void> => {
    await mesh.end()
    await target.close()
  }
  const stopped = onSignal(leave)
  const seen = new Map<Arm, Round[]>(ARMS.map((arm) => [arm, []]))
  try {
    // The way out to the card processor needs a sidecar: every arm does without.
    await withEnvironment('payment-service', { PSP_MODE: 'simulated' })(mesh)
    let sidecars = true
    for (let round = 1; round <= rounds; round++)
      for (const arm of ARMS) {
        if (stopped.now) return
        if (arm.sidecars !== sidecars) await setSidecars(mesh, arm.sidecars)
        sidecars = arm.sidecars
        const measured = await measure(arm, target, mesh, program)
        seen.get(arm)?.push(measured)
        console.info(`  ${arm.name}: ${measured.ordersPerSecond.toFixed(1)} orders/s`)
      }
  } finally {
    await leave()
  }
  const text = `${table(seen)}\n\n${new Date().toISOString().slice(0, 10)}: ${cpus().length} cores (${cpus()[0]?.model.trim()}), ${rounds} rounds in turn.`
  console.info(
    `\n${text}\n\nThese orders were charged by no card processor, and an audit of this lab will say so. A new one: pnpm lab down; pnpm lab up`,
  )
  if (values.write) writeFileSync(DOCUMENT, withPart(readFileSync(DOCUMENT, 'utf8'), 'mesh', text))
}

/** Of the services and PostgreSQL; resolves once all pods are so. */
async function setSidecars(mesh: Mesh, sidecars: boolean): Promise<void> {
  const operations = [
    {
      op: 'add',
      path: '/spec/template/metadata/labels/sidecar.istio.io~1inject',
      value: String(sidecars),
    },
  ] as const
  const postgres = `/apis/apps/v1/namespaces/${OM}/statefulsets/postgres`
  await mesh.changes.patch(postgres, operations)
  await until('PostgreSQL ready', 120_000, async () => {
    const [pod] = await podsOf(mesh.api, OM, 'app=postgres')
    const all = [...(pod?.['spec'].containers ?? []), ...(pod?.['spec'].initContainers ?? [])]
    const has = all.some(({ name }: { name: string }) => name === 'istio-proxy')
    return pod !== undefined && isReady(pod) && has === sidecars ? true : undefined
  })
  for (const name of SERVICES) await mesh.changes.patch(deploymentPath(name), operations)
  for (const name of SERVICES) await untilRolledOut(mesh.api, OM, name, 180_000)
}

async function measure(arm: Arm, target: Target, mesh: Mesh, program: string): Promise<Round> {
  await load(arm, target, program, WARM_SECONDS)
  await pause(FIGURES_MS)
  const idleFrom = await readCpu(mesh)
  await pause(FIGURES_MS)
  const before = await readCpu(mesh)
  const startedAt = Date.now()
  const orders = await load(arm, target, program, SECONDS)
  await pause(FIGURES_MS)
  const after = await readCpu(mesh)
  const confirmed = orders.filter(({ end }) => end === 'confirmed')
  if (confirmed.length < orders.length)
    throw new LoadtestError(
      `${arm.name}: ${orders.length - confirmed.length} of ${orders.length} orders were not confirmed; nothing is measured.`,
    )
  const ms = orders.map(({ asks: [first] }) => first?.ms ?? 0).sort((a, b) => a - b)
  const last = Math.max(...orders.map(({ at, asks: [first] }) => at + (first?.ms ?? 0)))
  const quantile = (q: number): number => ms[Math.ceil(q * ms.length) - 1] ?? 0
  const cpuOf = (part: Part): number => {
    const idle = (before.cpu[part] - idleFrom.cpu[part]) / (before.at - idleFrom.at)
    return after.cpu[part] - before.cpu[part] - idle * (after.at - before.at)
  }
  const cpu = PARTS.map((part) => [part, (cpuOf(part) * 1000) / orders.length])
  return {
    ordersPerSecond: orders.length / ((last - startedAt) / 1000),
    p50: quantile(0.5),
    p99: quantile(0.99),
    cpu: Object.fromEntries(cpu) as Cpu,
  }
}

async function load(
  { sampled }: Arm,
  target: Target,
  program: string,
  seconds: number,
): Promise<readonly OrderTold[]> {
  const plan: Plan = {
    url: target.url,
    hosts: target.hosts,
    tenants: { acme: await target.headersOf('acme') },
    loads: {
      acme: {
        tenant: 'acme',
        journeys: { place: 1 },
        lines: [{ sku: 'MOKA-POT', quantity: 1 }],
        tokens: ['pm_approve0001'],
        startRate: 0,
        callers: CALLERS,
        stages: [{ seconds, rate: 0 }],
        asks: 3,
        takesNo: false,
      },
    },
    thresholds: {},
    sampled,
    patienceSeconds: 20,
    sameKey: true,
  }
  const orders: OrderTold[] = []
  const noise: string[] = []
  const { ended } = startK6({
    program,
    plan,
    authority: target.authority,
    onTold: (told) => {
      if (told.kind === 'order') orders.push(told)
    },
    onNoise: (line) => noise.push(line),
  })
  const code = await ended
  if (code !== 0) throw new LoadtestError(`k6 ended with ${code}: ${noise.slice(-5).join('\n')}`)
  return orders
}

interface StatsSummary {
  readonly pods: readonly {
    readonly podRef: { readonly name: string; readonly namespace: string }
    readonly containers?: readonly {
      readonly name: string
      readonly cpu?: { readonly usageCoreNanoSeconds?: number }
    }[]
  }[]
}

/** By the kubelets' own count, whose figures are up to 20 s old: to be read when all is idle. */
async function readCpu(mesh: Mesh): Promise<{ readonly at: number; readonly cpu: Cpu }> {
  const nodes = await mesh.api.list('/api/v1/nodes')
  const cpu: Record<Part, number> = { applications: 0, sidecars: 0, gateway: 0, PostgreSQL: 0 }
  for (const { metadata } of nodes) {
    const text = await mesh.api.text(`/api/v1/nodes/${metadata.name}/proxy/stats/summary`)
    for (const { podRef, containers = [] } of (JSON.parse(text) as StatsSummary).pods)
      for (const { name, cpu: used } of containers) {
        const part = partOf(podRef.namespace, name)
        if (part !== undefined) cpu[part] += (used?.usageCoreNanoSeconds ?? 0) / 1e9
      }
  }
  return { at: Date.now(), cpu }
}

function partOf(namespace: string, container: string): Part | undefined {
  if (namespace === INGRESS) return 'gateway'
  if (namespace !== OM) return undefined
  if (container === 'istio-proxy') return 'sidecars'
  if (container === 'postgres') return 'PostgreSQL'
  return SERVICES.some((name) => name === container) ? 'applications' : undefined
}

function table(seen: ReadonlyMap<Arm, readonly Round[]>): string {
  const [control] = ARMS
  const median = (arm: Arm, read: (round: Round) => number): number => {
    const values = (seen.get(arm) ?? []).map(read).sort((a, b) => a - b)
    const middle = (values.length - 1) / 2
    return ((values[Math.floor(middle)] ?? 0) + (values[Math.ceil(middle)] ?? 0)) / 2
  }
  const total = ({ cpu }: Round): number => PARTS.reduce((sum, part) => sum + cpu[part], 0)
  const ofControl = (arm: Arm, read: (round: Round) => number): string =>
    (median(arm, read) / median(control as Arm, read)).toFixed(2)
  const columns = [
    '',
    'n',
    'orders/s',
    'p50 ms',
    'p99 ms',
    'CPU ms/order',
    '× no sidecars',
    ...PARTS,
  ]
  const rows = ARMS.map((arm) => [
    arm.name,
    String(seen.get(arm)?.length ?? 0),
    median(arm, ({ ordersPerSecond }) => ordersPerSecond).toFixed(1),
    median(arm, ({ p50 }) => p50).toFixed(0),
    median(arm, ({ p99 }) => p99).toFixed(0),
    median(arm, total).toFixed(1),
    ofControl(arm, total),
    ...PARTS.map((part) => median(arm, ({ cpu }) => cpu[part]).toFixed(1)),
  ])
  return markdownTable(columns, rows)
}

await runCommand(USAGE, cost)
process.exit()
