/** The audit: gathers the evidence in the order that makes the promises checkable, and asks each invariant. */
import { inSnapshot } from './database.ts'
import type { Evidence, Finding } from './evidence.ts'
import { readGauges } from './gauges.ts'
import { INVARIANTS, type Invariant } from './invariants.ts'
import { readLateRows } from './late-rows.ts'
import { readProcessorLedger } from './processor-ledger.ts'
import { readAcks, readAnswers } from './recordings.ts'
import { type Databases, readSnapshot } from './snapshot.ts'

/** 2 s: protocol I11. */
const ANNOUNCE_LIMIT_MS = 2000

/** 250 ms between two looks at what is still under way. */
const SETTLE_INTERVAL_MS = 250

export interface AuditInputs {
  readonly databases: Databases
  /** The card processor's origin. */
  readonly processorUrl?: string | undefined
  /** PSP_MODE=simulated: there is no processor whose ledger could be read. */
  readonly simulated?: boolean | undefined
  /** No faults, no traffic for 30 s: the parts of the promises that hold only then are checked, too. */
  readonly quiescent?: boolean | undefined
  /** Waits this long for the work under way, then checks as quiescent. */
  readonly settleTimeoutMs?: number | undefined
  /** Files of JSON lines: recordings.ts. */
  readonly acksFile?: string | undefined
  readonly answersFile?: string | undefined
  /** /metrics of every service process. */
  readonly metricsUrls?: readonly string[] | undefined
  /** 99 % of the announcements are younger; more than 2,000 ms only for a job that stops the relay. */
  readonly announceLimitMs?: number | undefined
}

export interface Row {
  readonly id: string
  readonly promise: string
  readonly result: 'ok' | 'violated' | 'not checked'
  /** The missing input, also of a violated row. */
  readonly needs: string | undefined
  readonly findings: readonly Finding[]
  readonly note: string
}

/** @throws InputError an input is malformed or out of reach: nothing is known then. */
export async function audit(inputs: AuditInputs): Promise<Row[]> {
  if (inputs.settleTimeoutMs !== undefined) await settle(inputs.databases, inputs.settleTimeoutMs)
  const evidence = await gather(inputs)
  return INVARIANTS.map((invariant) => judge(invariant, evidence))
}

/** 1 when a promise is broken, else 0. */
export function exitCode(rows: readonly Row[]): 0 | 1 {
  return rows.some(({ result }) => result === 'violated') ? 1 : 0
}

/**
 * Resolves when no order is unfinished, the outbox is empty and no lease is due, or after `timeoutMs`: the audit then
 * names who is not.
 */
export async function settle(databases: Databases, timeoutMs: number): Promise<void> {
  const until = performance.now() + timeoutMs
  while (await underWay(databases)) {
    if (performance.now() >= until) return
    await new Promise((resolve) => setTimeout(resolve, SETTLE_INTERVAL_MS))
  }
}

async function underWay({ order, payment }: Databases): Promise<boolean> {
  const exists = (condition: string): string => `SELECT EXISTS (${condition}) AS found`
  const found = async (name: string, pool: Databases['order'], condition: string) =>
    inSnapshot(name, pool, async (query) => {
      const [row] = await query<{ found: boolean }>(exists(condition))
      return row?.found === true
    })
  return (
    (await found(
      'oms_order',
      order,
      'SELECT FROM oms.orders WHERE state < 100 UNION ALL SELECT FROM oms.outbox',
    )) ||
    (await found(
      'oms_payment',
      payment,
      `SELECT FROM oms.payment WHERE state = 1 AND next_run_at <= now()
       UNION ALL SELECT FROM oms.refund WHERE state = 1 AND next_run_at <= now()`,
    ))
  )
}

async function gather(inputs: AuditInputs): Promise<Evidence> {
  const { databases, processorUrl, acksFile, answersFile, metricsUrls = [] } = inputs
  // The clients' recordings before the rows they must have left, the processor after the intents that it serves.
  const acks = acksFile === undefined ? undefined : await readAcks(acksFile)
  const answers = answersFile === undefined ? undefined : await readAnswers(answersFile)
  const snapshot = await readSnapshot(databases)
  const ledger = processorUrl === undefined ? undefined : await readProcessorLedger(processorUrl)
  const late = await readLateRows(databases, snapshot, ledger)
  const gauges = metricsUrls.length === 0 ? undefined : await readGauges(metricsUrls)
  return {
    snapshot,
    ledger,
    late,
    acks,
    answers,
    gauges,
    simulated: inputs.simulated ?? false,
    quiescent: (inputs.quiescent ?? false) || inputs.settleTimeoutMs !== undefined,
    announceLimitMs: inputs.announceLimitMs ?? ANNOUNCE_LIMIT_MS,
  }
}

function judge(invariant: Invariant, evidence: Evidence): Row {
  const findings = merge(invariant.check(evidence))
  const needs = invariant.needs?.(evidence)
  const part = evidence.quiescent ? undefined : invariant.quiescentPart
  const notes = [invariant.note(evidence), part && `${part} not checked: needs --quiescent`]
  return {
    id: invariant.id,
    promise: invariant.promise,
    result: findings.length > 0 ? 'violated' : needs === undefined ? 'ok' : 'not checked',
    needs,
    findings,
    note: notes.filter(Boolean).join('; '),
  }
}

/** One finding a subject. */
function merge(findings: readonly Finding[]): Finding[] {
  const bySubject = Map.groupBy(findings, ({ subject }) => subject)
  return [...bySubject].map(([subject, all]) => ({
    subject,
    why: [...new Set(all.map(({ why }) => why))].join('; '),
  }))
}
