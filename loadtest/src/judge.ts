/** Whether a run kept its promises: what was declared before, money and stock, and that it heals. Never how fast. */
import { countedAround, countedWithin, signalOf } from './observe.ts'
import type { OrderTold } from './plan.ts'
import { FINAL_WITHIN_SECONDS, type Finding, type Run } from './run.ts'
import type { Band, Scenario, Signal } from './scenario.ts'

/** Of the orders that arrive from then on so many have their verdict at once. */
const HEALED_AFTER_SECONDS = 5
const HEALED_SHARE = 0.99

export function judge(run: Run, scenario: Scenario): readonly Finding[] {
  return [
    ...thresholds(run),
    ...signals(run, scenario),
    ...(scenario.judge?.(run) ?? []),
    dropped(run),
    untold(run),
    placedTwice(run),
    lost(run),
    late(run),
    ...(run.window.what === undefined ? [] : [healed(run)]),
    ...audited(run),
  ]
}

function thresholds({ summary }: Run): readonly Finding[] {
  return summary.thresholds.map(({ metric, condition, ok }) => {
    const [statistic = ''] = /^[\w()]+/.exec(condition) ?? []
    const value = summary.metrics[metric]?.[statistic]
    return {
      name: metric,
      expected: condition,
      seen: value === undefined ? 'nothing' : String(rounded(value)),
      // What nobody counted holds nothing.
      holds: ok && value !== undefined,
    }
  })
}

function signals({ samples, window }: Run, scenario: Scenario): readonly Finding[] {
  if (samples.length === 0) return []
  const around = countedAround(samples, window.from, window.to)
  // While a fault comes or goes some pods have it and others not: a ratio would tell how long that takes.
  const within = countedWithin(samples, window.from, window.ending)
  return (Object.entries(scenario.signals) as [Signal, Band][]).map(([name, band]) => {
    const seen = signalOf(name.endsWith('.tries_per_request') ? within : around, name)
    const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = band
    return {
      name,
      expected: inWords(band),
      seen: Number.isNaN(seen) ? 'no request' : String(rounded(seen)),
      holds: seen >= min && seen <= max,
    }
  })
}

export function inWords({ min, max }: Band): string {
  if (min === undefined) return `at most ${max}`
  return max === undefined ? `at least ${min}` : `${min} to ${max}`
}

/** Of an open load: k6 had no client free. What did not arrive was not judged. */
function dropped({ summary }: Run): Finding {
  const count = summary.metrics['dropped_iterations']?.['count'] ?? 0
  return {
    name: 'arrivals that k6 dropped',
    expected: 'none',
    seen: String(count),
    holds: count === 0,
  }
}

/** The script broke off: what such an order became is not judged. */
function untold({ summary, orders }: Run): Finding {
  const begun = summary.metrics['iterations']?.['count'] ?? 0
  const count = begun - orders.length - (summary.metrics['lists_read']?.['count'] ?? 0)
  return {
    name: 'arrivals of which k6 told nothing',
    expected: 'none',
    seen: String(count),
    holds: count === 0,
  }
}

/** One intent, two orders: the client took another key. */
function placedTwice({ orders, stored }: Run): Finding {
  const known = new Set(stored)
  const twice = orders.filter(({ asks }) => {
    const keys = new Set(asks.map(({ key }) => key))
    return keys.size > 1 && [...keys].filter((key) => known.has(key)).length > 1
  })
  return finding('orders placed twice', 'none', twice)
}

function lost({ orders, stored }: Run): Finding {
  const known = new Set(stored)
  const gone = orders.filter(({ asks }) =>
    asks.some(
      ({ status, key, sha256 }) => (status === 202 || sha256 !== undefined) && !known.has(key),
    ),
  )
  return finding('accepted orders that are gone', 'none', gone)
}

function late({ orders, window }: Run): Finding {
  const until = window.to + FINAL_WITHIN_SECONDS * 1000
  const open = orders.filter(({ at, end, asks }) => {
    if (at > window.to || end === 'shed') return false
    const last = asks.at(-1)
    return end === 'open' || last === undefined || last.at + last.ms > until
  })
  return finding(`orders not final ${FINAL_WITHIN_SECONDS} s after the fault`, 'none', open)
}

function healed({ orders, window, to }: Run): Finding {
  const from = window.to + HEALED_AFTER_SECONDS * 1000
  const after = orders.filter(({ at }) => at >= from && at <= to)
  const good = after.filter(({ asks }) => asks[0]?.sha256 !== undefined)
  const share = after.length === 0 ? 0 : good.length / after.length
  return {
    name: `goodput from ${HEALED_AFTER_SECONDS} s after the fault`,
    expected: `at least ${HEALED_SHARE * 100} %`,
    seen: `${rounded(share * 100)} % of ${after.length}`,
    holds: share >= HEALED_SHARE,
  }
}

function audited({ audits }: Run): readonly Finding[] {
  return audits.map(({ when, checked, broken }) => ({
    name: `audit ${when}`,
    expected: 'nothing violated',
    seen: broken.length === 0 ? `${checked.length} promises hold` : firstOf(broken, '; '),
    holds: broken.length === 0 && checked.length > 0,
  }))
}

/** How many are named. */
const NAMED = 5

function firstOf(all: readonly string[], between: string): string {
  const more = all.length > NAMED ? `${between}and ${all.length - NAMED} more` : ''
  return `${all.slice(0, NAMED).join(between)}${more}`
}

function finding(name: string, expected: string, wrong: readonly OrderTold[]): Finding {
  const keys = wrong.map(({ key }) => key)
  return {
    name,
    expected,
    seen: wrong.length === 0 ? 'none' : `${wrong.length}: ${firstOf(keys, ' ')}`,
    holds: wrong.length === 0,
  }
}

export function rounded(value: number): number {
  return Number(value.toPrecision(4))
}
