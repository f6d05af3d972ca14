/** What is done past the peak: protocol.md V7. */

import { rounded } from './judge.ts'
import type { OrderTold } from './plan.ts'
import type { Finding, Run } from './run.ts'

/** Times the peak → the share of the peak's goodput that must be left. */
const LEFT: Readonly<Record<number, number>> = { 2: 0.95, 5: 0.9, 10: 0.8 }
/** Of each step, in which queues fill. */
const SETTLES_MS = 3000

function isDone({ end }: OrderTold): boolean {
  return end === 'confirmed' || end === 'refused'
}

interface Step {
  readonly times: number
  readonly from: number
  readonly to: number
}

/**
 * Of orders that are accepted, at once or to be done, and have their end. The peak is that of the first step, which asks for
 * more than can be done.
 */
export function goodputPastThePeak(run: Run): readonly Finding[] {
  const [first, ...steps] = stepsOf(run)
  if (first === undefined) return []
  const peak = goodputIn(run, first)
  const past = steps.flatMap((step): Finding[] => {
    const least = LEFT[step.times]
    if (least === undefined) return []
    const goodput = goodputIn(run, step)
    return [
      {
        name: `goodput at ${step.times} times the peak`,
        expected: `at least ${least * 100} % of ${rounded(peak)}/s`,
        seen: `${rounded(goodput)}/s, ${rounded((goodput / peak) * 100)} %`,
        holds: peak > 0 && goodput >= least * peak,
      },
    ]
  })
  const last = steps.at(-1)
  return last === undefined ? past : [...past, after(run, last)]
}

/** Five seconds after the load is gone everybody is served. */
function after({ orders }: Run, { from, to }: Step): Finding {
  const late = orders.filter(({ at }) => at >= from + 5000 && at < to)
  const good = late.filter(isDone)
  const share = late.length === 0 ? 0 : good.length / late.length
  return {
    name: 'goodput from 5 s after the load',
    expected: 'at least 99 %',
    seen: `${rounded(share * 100)} % of ${late.length}`,
    holds: share >= 0.99,
  }
}

/** Stages of a second are the way to the next one. */
function stepsOf({ profile, from }: Run): readonly Step[] {
  let at = from
  return profile.stages.flatMap(({ seconds, times }) => {
    const step = { times, from: at, to: at + seconds * 1000 }
    at = step.to
    return seconds > 1 ? [step] : []
  })
}

/** Orders a second, by their arrival. */
function goodputIn({ orders }: Run, { from, to }: Step): number {
  const begin = from + SETTLES_MS
  const done = orders.filter((order) => order.at >= begin && order.at < to && isDone(order))
  return done.length / ((to - begin) / 1000)
}
