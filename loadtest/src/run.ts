/** One run: what was asked for, what was seen, and the judgement. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fingerprintOf } from '@oms/contracts/identity'
import { LoadtestError } from './errors.ts'
import { untilWhole } from './faults.ts'
import { judge } from './judge.ts'
import type { K6 } from './k6.ts'
import { observe, type Sample, untilNobodyIsEjected } from './observe.ts'
import type { OrderTold, Plan, SummaryTold, Told } from './plan.ts'
import { type Profile, secondsOf } from './profiles.ts'
import type { Fault, Protection, Scenario } from './scenario.ts'
import type { Audited, Target } from './target.ts'

export interface Finding {
  readonly name: string
  readonly expected: string
  readonly seen: string
  readonly holds: boolean
}

export interface Run {
  readonly scenario: string
  readonly line: string
  readonly target: string
  readonly profile: Profile
  /** The protection that was taken away. */
  readonly without?: string
  /** Milliseconds since 1970: of the first arrival and the last. */
  readonly from: number
  readonly to: number
  /** When the fault was there, the whole run where there is none: all of it until `ending`, all gone from `to` on. */
  readonly window: {
    readonly from: number
    readonly ending: number
    readonly to: number
    readonly what?: string
  }
  readonly orders: readonly OrderTold[]
  readonly samples: readonly Sample[]
  readonly summary: SummaryTold
  readonly audits: readonly (Audited & { readonly when: 'during' | 'after' })[]
  /** What k6 said besides: requests that failed, with the reason. The first of them. */
  readonly said: readonly string[]
  /** Ids of orders that the product has of this run's time and tenants. */
  readonly stored: readonly string[]
}

export interface Judged extends Run {
  readonly findings: readonly Finding[]
  readonly holds: boolean
}

export interface RunOptions {
  readonly scenario: Scenario
  readonly profile: Profile
  readonly target: Target
  readonly k6: (options: StartK6) => K6
  readonly without?: { readonly name: string; readonly protection: Protection } | undefined
  readonly folder: string
  /** Ends the run before its time. */
  readonly signal: AbortSignal
  readonly say: (line: string) => void
}

export interface StartK6 {
  readonly plan: Plan
  readonly onTold: (told: Told) => void
  readonly onNoise: (line: string) => void
}

/** Every order is final so many seconds after the fault. */
export const FINAL_WITHIN_SECONDS = 30

/** The cluster is as before when it resolves, and when it throws. */
export async function run(options: RunOptions): Promise<Judged> {
  const { target } = options
  try {
    return await runOn(options)
  } finally {
    const mesh = target.cluster?.mesh
    if (mesh !== undefined) {
      await options.scenario.restore?.(mesh)
      await options.without?.protection.restore?.(mesh)
      await mesh.end()
      await untilWhole(mesh)
    }
  }
}

async function runOn(options: RunOptions): Promise<Judged> {
  const { scenario, profile, target, without, folder, signal, say } = options
  const mesh = target.cluster?.mesh
  const protection = without?.protection
  const fault = protection?.fault ?? scenario.fault
  const needMesh = () => {
    if (mesh === undefined) throw new Error(`${scenario.name} needs a cluster.`)
    return mesh
  }

  const recordings = join(folder, 'recordings')
  record(recordings, [])
  const { broken: old } = await target.audit({ recordings })
  const isOfThisRun = (broken: string): boolean => !old.includes(broken)
  if (old.length > 0) say(`${old.length} promises were broken before this run, and are not its own`)
  if (mesh !== undefined) await untilNobodyIsEjected(mesh)
  if (scenario.prepareTarget) await scenario.prepareTarget(target)
  if (scenario.prepare && !protection?.skipsPrepare) await scenario.prepare(needMesh())
  if (protection?.remove) await protection.remove(needMesh())
  const plan = await planOf(options)
  const observer = mesh === undefined ? undefined : await observe(mesh)

  const orders: OrderTold[] = []
  let summary: SummaryTold | undefined
  let begun: (at: number) => void
  const started = new Promise<number>((resolve) => (begun = resolve))
  const noise: string[] = []
  const k6 = options.k6({
    plan,
    onTold(told) {
      if (told.kind === 'start') begun(told.at)
      else if (told.kind === 'order') orders.push(told)
      else summary = told
    },
    onNoise: (line) => noise.push(line),
  })
  signal.addEventListener('abort', k6.stop, { once: true })
  const isOver = k6.ended.then(
    () => 'over' as const,
    () => 'over' as const,
  )
  const audits: Run['audits'][number][] = []
  async function audit(when: 'during' | 'after', settleSeconds?: number): Promise<void> {
    record(recordings, orders)
    const settling = settleSeconds === undefined ? {} : { settleSeconds }
    const { checked, broken } = await target.audit({ recordings, ...settling })
    audits.push({ when, checked, broken: broken.filter(isOfThisRun) })
  }

  async function liveThrough(fault: Fault, from: number): Promise<Run['window']> {
    await until(from + profile.fault.from * 1000, signal)
    say(`fault: ${fault.what}`)
    const beginning = fault.begin(needMesh())
    if (fault.end !== undefined) await beginning
    const begun = Date.now()
    const auditing = audit('during')
    // Awaited below.
    auditing.catch(() => undefined)
    let ending: number | undefined
    if (fault.end === undefined) await beginning
    else {
      await until(from + profile.fault.to * 1000, signal)
      ending = Date.now()
      await fault.end(needMesh())
    }
    const to = Date.now()
    ending ??= to
    // While PostgreSQL or the card processor is away nobody can look: then as soon as it is back, under load.
    await auditing.catch(() => audit('during'))
    return { from: begun, ending, to, what: fault.what }
  }

  try {
    const from = await Promise.race([started, isOver])
    if (from === 'over') throw new LoadtestError(`k6 did not start:\n${noise.slice(-8).join('\n')}`)
    say('orders arrive')
    const to = from + secondsOf(profile) * 1000
    const window = fault === undefined ? { from, ending: to, to } : await liveThrough(fault, from)
    if (fault !== undefined) say('the fault is over')
    await k6.ended
    signal.throwIfAborted()
    if (summary === undefined)
      throw new LoadtestError(`k6 ended without a summary:\n${noise.slice(-8).join('\n')}`)
    await observer?.stop()
    say(`${orders.length} orders; the audit waits until all have ended`)
    await audit('after', FINAL_WITHIN_SECONDS)
    const seen: Run = {
      scenario: scenario.name,
      line: scenario.line,
      target: target.name,
      profile,
      ...(without === undefined ? {} : { without: without.name }),
      from,
      to,
      window,
      orders,
      samples: observer?.samples ?? [],
      summary,
      said: noise.slice(0, SAID),
      audits,
      stored: await storedSince(target, [...new Set(orders.map(({ tenant }) => tenant))], from),
    }
    const findings = judge(seen, scenario)
    return { ...seen, findings, holds: findings.every(({ holds }) => holds) }
  } finally {
    k6.stop()
    await observer?.stop()
  }
}

async function until(at: number, signal: AbortSignal): Promise<void> {
  await pause(Math.max(0, at - Date.now()), undefined, { signal })
}

const SAID = 50

/** As the mesh samples what comes through the gateway. */
const SAMPLED = 0.1
/** In every run: no order without an end, no answer that contradicts another. */
const ALWAYS = { orders_open: ['count==0'], answers_wrong: ['count==0'] }

async function planOf({ scenario, profile, target, without }: RunOptions): Promise<Plan> {
  const loads = scenario.loads(profile)
  const tenants = [...new Set(Object.values(loads).map(({ tenant }) => tenant))]
  const headers = await Promise.all(
    tenants.map(async (tenant) => [tenant, await target.headersOf(tenant)] as const),
  )
  const client = without?.protection.client
  return {
    url: target.url,
    hosts: target.hosts,
    tenants: Object.fromEntries(headers),
    loads:
      client === 'asks-once'
        ? Object.fromEntries(
            Object.entries(loads).map(([name, load]) => [name, { ...load, asks: 1 }]),
          )
        : loads,
    thresholds: { ...ALWAYS, ...scenario.thresholds },
    sampled: SAMPLED,
    patienceSeconds: profile.fault.to - profile.fault.from + FINAL_WITHIN_SECONDS + 15,
    sameKey: client !== 'new-key',
  }
}

/** What clients were told, for the audit: each acceptance, each final answer. */
function record(folder: string, orders: readonly OrderTold[]): void {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const acks: object[] = []
  const answers: object[] = []
  for (const { tenant, body, asks } of orders) {
    const fingerprint = fingerprintOf(body)
    for (const { status, key, amountMinor, sha256 } of asks) {
      const told = { tenant_id: tenant, order_id: key, status }
      if (status === 202 || sha256 !== undefined)
        acks.push({ ...told, fingerprint, amount_minor: amountMinor })
      if (sha256 !== undefined) answers.push({ ...told, idempotency_key: key, body_sha256: sha256 })
    }
  }
  const lines = (all: readonly object[]): string =>
    all.map((each) => `${JSON.stringify(each)}\n`).join('')
  writeFileSync(join(folder, 'acks.jsonl'), lines(acks))
  writeFileSync(join(folder, 'answers.jsonl'), lines(answers))
}

/** 5 s: the target's clock may be another. */
const CLOCK_MS = 5000

async function storedSince(
  target: Target,
  tenants: readonly string[],
  from: number,
): Promise<readonly string[]> {
  const stored: string[] = []
  for (const tenant of tenants) {
    let cursor: string | null = ''
    while (cursor !== null) {
      const query = `limit=100${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`
      const page = (await target.read(`/api/v1/orders?${query}`, tenant)) as OrderPage
      const recent = page.items.filter(({ created_at: at }) => Date.parse(at) >= from - CLOCK_MS)
      stored.push(...recent.map(({ order_id: id }) => id))
      cursor = recent.length < page.items.length ? null : page.next_cursor
    }
  }
  return stored
}

interface OrderPage {
  readonly items: readonly { readonly order_id: string; readonly created_at: string }[]
  readonly next_cursor: string | null
}
