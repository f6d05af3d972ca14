/** Leads an order through the deaths of those who work on it, and demands that it ends as it should. */
import { randomUUID } from 'node:crypto'
import {
  isOver,
  requireAccepted,
  requireAnswer,
  requireEnd,
  requireGreenAudit,
  requireHits,
  type Subject,
  waitUntil,
} from './demands.ts'
import { JOURNEYS } from './journeys.ts'
import type { FaultPoint } from './points.ts'
import type { Action, Fault, Site } from './site.ts'
import { createSteps, type Progress } from './steps.ts'

const TENANT = 'acme'

export interface Endurance {
  /** How many faults were armed, and how many of them met. */
  readonly armed: number
  readonly met: number
  /** From everything being back to the order's end; the slowest of the point's orders. Milliseconds. */
  readonly endedAfterMs: number
}

export interface Survival extends Endurance {
  /** How often a process died at the point that came there unharmed, and one that recovered an order. */
  readonly first: number
  readonly recovery: number
}

interface Pass {
  /** To be met in this order. */
  readonly faults: readonly Fault[]
  /** The journey is run, or run again. */
  readonly acts: boolean
  /** An end of the order that comes first is as good, and everybody is back for it. */
  readonly optional?: boolean
}

interface Course {
  /** The points where faults were met, pass by pass. */
  readonly hits: readonly (readonly string[])[]
  readonly endedAfterMs: number
}

/**
 * Both passes by one point: the process that comes by it dies, and so does the one that recovers the order.
 * @throws AssertionError naming point and order: not met, another end, another answer, a broken promise.
 */
export async function survive(site: Site, point: FaultPoint): Promise<Survival> {
  const { name, recovery } = point
  const courses: readonly (readonly Pass[])[] =
    typeof recovery === 'object'
      ? [[firstPass(point)], [{ faults: [crash(recovery.after), crash(name)], acts: true }]]
      : [[firstPass(point), { faults: [crash(name)], acts: recovery === 'repeated' }]]
  const done: Course[] = []
  for (const passes of courses) done.push(await follow(site, point, passes))
  const passes = done.flatMap(({ hits }) => hits)
  const [first, last] = [passes.at(0), passes.at(-1)].map(
    (hits = []) => hits.filter((hit) => hit === name).length,
  )
  return {
    first: first ?? 0,
    recovery: last ?? 0,
    armed: courses.flat().reduce((sum, { faults }) => sum + faults.length, 0),
    met: passes.flat().length,
    endedAfterMs: Math.max(...done.map(({ endedAfterMs }) => endedAfterMs)),
  }
}

/**
 * The first pass alone, with this fault; then another one, where the order still comes by it.
 * @throws as `survive`.
 */
export async function endure(
  site: Site,
  point: FaultPoint,
  fault: Omit<Fault, 'point'>,
  then?: Fault,
): Promise<Endurance> {
  const acts = point.recovery === 'repeated'
  const first = firstPass(point, fault)
  const second = then === undefined ? [] : [{ faults: [then], acts, optional: true }]
  const { hits, endedAfterMs } = await follow(site, point, [first, ...second])
  return { armed: first.faults.length + second.length, met: hits.flat().length, endedAfterMs }
}

function firstPass({ name, journey }: FaultPoint, fault: Omit<Fault, 'point'> = CRASH): Pass {
  const { dies } = JOURNEYS[journey]
  const before = dies === undefined ? [] : [crash(dies)]
  return { faults: [...before, { point: name, ...fault }], acts: true }
}

const CRASH: { readonly action: Action } = { action: 'crash' }

function crash(point: string): Fault {
  return { point, ...CRASH }
}

async function follow(site: Site, point: FaultPoint, passes: readonly Pass[]): Promise<Course> {
  const subject = { site, point, tenantId: TENANT, orderId: randomUUID() }
  const hits: (readonly string[])[] = []
  for (const pass of passes) hits.push(await goThrough(subject, pass))
  site.disarm()
  await site.heal()
  const startedMs = performance.now()
  if (point.recovery === 'repeated') await act(subject, { armed: [], hits: () => [] })
  await site.heal()
  await requireEnd(subject)
  const endedAfterMs = performance.now() - startedMs
  await requireAnswer(subject)
  await requireGreenAudit(subject)
  return { hits, endedAfterMs }
}

function act(subject: Subject, progress: Progress): Promise<void> {
  return JOURNEYS[subject.point.journey].run(createSteps(subject, progress))
}

async function goThrough(
  subject: Subject,
  { faults, acts, optional = false }: Pass,
): Promise<readonly string[]> {
  const { site, point } = subject
  const armed = faults.map((fault) => fault.point)
  const before = site.hits().length
  const hits = (): readonly string[] => site.hits().slice(before)
  for (const fault of faults) site.arm(fault)
  await (optional ? site.heal() : site.revive())
  if (acts) await act(subject, { armed, hits })
  await waitUntil(
    subject,
    async () => hits().length >= armed.length || (optional && (await isOver(subject))),
    () => {
      const missed = armed.filter((each) => !hits().includes(each))
      return `never came by ${missed.join(', ')} on its journey "${point.journey}"`
    },
  )
  requireHits(subject, armed, hits())
  await putOffDecision(subject)
  await requireAccepted(subject)
  return hits()
}

/** After a minute without a verdict an order is voided: a slow machine must not lead it to another end. */
async function putOffDecision({ site, orderId }: Subject): Promise<void> {
  const later = `UPDATE oms.orders SET decide_at = now() + interval '1 h' WHERE order_id = $1 AND state < 100`
  await site.query('order', later, [orderId])
}
