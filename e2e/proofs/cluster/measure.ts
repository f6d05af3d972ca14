/** What proofs read off Envoy's access log, and small sums. */
import { type KubernetesObject, untilEnough } from './api.ts'
import type { AccessLine, Mesh } from './mesh.ts'

/** Envoy writes its log once a second. */
const WRITTEN_WITHIN_MS = 5000

/**
 * Lines of a pod's proxy whose path has `part`; at least one, or what is there after 5 s. Nothing but errors and
 * aborted requests is logged.
 */
export function accessOf(
  mesh: Mesh,
  pod: KubernetesObject,
  part: string,
): Promise<readonly AccessLine[]> {
  return untilEnough(
    WRITTEN_WITHIN_MS,
    () => mesh.accessLog(pod, ({ path }) => path?.includes(part) ?? false),
    (found) => found.length > 0,
  )
}

export async function flagsOf(
  mesh: Mesh,
  pod: KubernetesObject,
  part: string,
): Promise<readonly string[]> {
  return (await accessOf(mesh, pod, part)).map(({ response_flags: flags }) => flags)
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

interface Timed {
  /** When it ended: milliseconds. */
  readonly time: number
  readonly duration_ms: number
}

/** The most that were under way at once. */
export function mostAtOnce(lines: readonly Timed[]): number {
  const edges = lines
    .flatMap(({ time, duration_ms: ms }) => [
      { at: time - ms, step: 1 },
      { at: time, step: -1 },
    ])
    // One that ends as another begins is not beside it.
    .sort((a, b) => a.at - b.at || a.step - b.step)
  let now = 0
  let most = 0
  for (const { step } of edges) {
    now += step
    most = Math.max(most, now)
  }
  return most
}

/** A number of a kind of thing: `{ a: 2, b: 1 }`. */
export function countBy<T>(
  things: readonly T[],
  keyOf: (thing: T) => string | number,
): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const thing of things) {
    const key = String(keyOf(thing))
    counts[key] = (counts[key] ?? 0) + 1
  }
  return counts
}

/** Of a binomial with `n` and `p`: outside it is once in 10,000 (normal approximation, 3.89 σ). */
export function binomialBounds(
  n: number,
  p: number,
): { readonly least: number; readonly most: number } {
  const spread = 3.89 * Math.sqrt(n * p * (1 - p))
  return { least: Math.max(0, Math.ceil(n * p - spread)), most: Math.floor(n * p + spread) }
}
