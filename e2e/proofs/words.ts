/** How durations, counts and what was seen read, in the terminal as in the report. */
import type { Outcome, ProofResult, Witness } from './result.ts'

/** `0.4 s`, `59.9 s`, `6 min 12 s`. */
export function durationInWords(ms: number): string {
  const tenths = Math.round(ms / 100)
  if (tenths < 600) return `${(tenths / 10).toFixed(1)} s`
  const seconds = Math.round(ms / 1_000)
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}

/** `2026-01-02 03:04:05 UTC`, of ISO 8601. */
export function timeInWords(iso: string): string {
  return iso.replace('T', ' ').replace(/(\.\d+)?Z$/, ' UTC')
}

/** `41 green, 0 red, 3 not run`. */
export function countsInWords(proofs: readonly ProofResult[]): string {
  return (['green', 'red', 'not run'] as const)
    .map((outcome) => `${countOf(proofs, outcome)} ${outcome}`)
    .join(', ')
}

export function countOf(proofs: readonly ProofResult[], outcome: Outcome): number {
  return proofs.filter((proof) => proof.outcome === outcome).length
}

/** A string as it is, the rest as JSON in one line. */
export function seenInWords({ seen }: Pick<Witness, 'seen'>): string {
  if (seen === undefined) return 'nothing'
  return typeof seen === 'string' ? seen : toJson(seen)
}

/** Statistics of Envoy may be larger than a number holds. */
export function toJson(value: unknown, indent?: number): string {
  return JSON.stringify(
    value,
    (_, member) => (typeof member === 'bigint' ? String(member) : member),
    indent,
  )
}
