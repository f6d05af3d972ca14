/** What `verify:crash` runs: each case leads one order or two through faults of real processes. */
import type { Random } from '../random.ts'
import type { FaultPoint } from './points.ts'
import type { ProcessSite } from './process-site.ts'
import { ACTIONS, type Fault } from './site.ts'
import { type Endurance, endure, type Survival, survive } from './survive.ts'

/** I4: every order has ended so long after the faults have. */
const END_WITHIN_MS = 30_000
/** A process is killed up to so long behind a point: in the midst of what follows. Milliseconds. */
const CRASH_AFTER_MS = 30

export interface Case {
  readonly label: string
  run(site: ProcessSite): Promise<Endurance & Partial<Survival>>
}

/** By the point where the first one died: what whoever recovers came by. */
export type Recoveries = Map<string, ReadonlySet<string>>

/** @param recoveries grows by what the case has seen. */
export function bothPasses(point: FaultPoint, recoveries: Recoveries): Case {
  const { name } = point
  return {
    label: name,
    async run(site) {
      const before = site.passed().length
      const survival = await survive(site, point)
      recoveries.set(name, recoveryOf(point, site.passed().slice(before)))
      if (survival.endedAfterMs > END_WITHIN_MS)
        throw new Error(
          `${name}: its order ended only ${Math.round(survival.endedAfterMs)} ms after everything was back.`,
        )
      return survival
    },
  }
}

/** What followed the first fault, up to where somebody places an order. */
function recoveryOf({ name, recovery }: FaultPoint, passed: readonly string[]): Set<string> {
  const after = passed.slice(passed.indexOf(name) + 1)
  const next = recovery === 'repeated' ? -1 : after.indexOf('order.t1.before')
  return new Set(next === -1 ? after : after.slice(0, next))
}

/** Every other fault at each of the points, alone. */
export function otherFaults(points: readonly FaultPoint[], random: Random): Case[] {
  return points.flatMap((point) =>
    ACTIONS.filter((action) => action !== 'crash').map((action) =>
      withFaults(point, { action, afterMs: random.below(CRASH_AFTER_MS) }),
    ),
  )
}

/** A fault, and another one where its recovery comes by; none of points without a recovery. */
export function pairsOfFaults(
  points: readonly FaultPoint[],
  recoveries: Recoveries,
  count: number,
  random: Random,
): Case[] {
  const [first, ...others] = points.flatMap((point) =>
    [...(recoveries.get(point.name) ?? [])].map((then) => ({ point, then })),
  )
  if (first === undefined) return []
  return Array.from({ length: count }, () => {
    const { point, then } = random.pick([first, ...others])
    return withFaults(point, anyFault(random), { point: then, ...anyFault(random) })
  })
}

function anyFault(random: Random): Omit<Fault, 'point'> {
  return { action: random.pick(ACTIONS), afterMs: random.below(CRASH_AFTER_MS) }
}

function withFaults(point: FaultPoint, fault: Omit<Fault, 'point'>, then?: Fault): Case {
  const at = [{ point: point.name, ...fault }, ...(then === undefined ? [] : [then])]
  return {
    label: at.map((each) => `${each.action} at ${each.point}`).join(', '),
    run: (site) => endure(site, point, fault, then),
  }
}
