/** I11: every final order is announced exactly once, soon, in order. */
import type { Announcement, Evidence, Finding } from './evidence.ts'
import { STATE_NAMES, stateName } from './history.ts'

export function misannounced(evidence: Evidence): Finding[] {
  return [...counts(evidence), ...late(evidence), ...waiting(evidence), ...evidence.snapshot.gaps]
}

function counts({ snapshot: { orders, announcements } }: Evidence): Finding[] {
  const byOrder = Map.groupBy(announcements, ({ key }) => key)
  return [...orders].flatMap(([key, { state }]) => {
    const found = byOrder.get(key) ?? []
    const wanted = state >= 100 ? 1 : 0
    if (found.length !== wanted)
      return [{ subject: key, why: `${stateName(state)}, announced ${found.length} times` }]
    const wrong = found.find(({ type }) => type !== `order.${STATE_NAMES[state]}`)
    return wrong ? [{ subject: key, why: `${stateName(state)}, announced as ${wrong.type}` }] : []
  })
}

/** Names the slow ones when they are so many that the 99th percentile is slow. */
function late({ snapshot: { announcements }, announceLimitMs }: Evidence): Finding[] {
  if (agesP99(announcements) < announceLimitMs) return []
  return announcements
    .filter(({ ageMs }) => ageMs !== null && ageMs >= announceLimitMs)
    .map(({ key, ageMs, pending }) => ({
      subject: key,
      why: `${pending ? 'waiting for' : 'announced after'} ${seconds(ageMs ?? 0)}`,
    }))
}

function waiting({ snapshot: { announcements }, quiescent }: Evidence): Finding[] {
  if (!quiescent) return []
  return announcements
    .filter(({ pending }) => pending)
    .map(({ key }) => ({ subject: key, why: 'still in the outbox' }))
}

export function announcementsNote({ snapshot: { announcements } }: Evidence): string {
  const pending = announcements.filter((each) => each.pending).length
  return `${announcements.length - pending} events, ${pending} in the outbox, age p99 ${seconds(agesP99(announcements))}`
}

/** Nearest rank. Milliseconds. */
function agesP99(announcements: readonly Announcement[]): number {
  const ages = announcements.flatMap(({ ageMs }) => ageMs ?? []).sort((a, b) => a - b)
  return Math.max(0, ages[Math.ceil(ages.length * 0.99) - 1] ?? 0)
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`
}
