/** What a proof is: a promise of a manifest, provoked, and seen by two witnesses that agree. */
import { setTimeout as pause } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { type Capability, LACKS } from './cluster/capabilities.ts'
import { type Mesh, openMesh } from './cluster/mesh.ts'
import type { Source, Witness } from './result.ts'

const TIMEOUT_MS = 60_000
/** The longest of a probe's jobs, nearly. */
const ENDS_WITHIN_MS = 60_000

export interface Told {
  /** One sentence that is true when it is green. */
  readonly promise: string
  /** Below k8s/. */
  readonly manifests: readonly string[]
  /** What it proves, as `VirtualService payment-service-retry spec.http[0].retries`. */
  readonly fields: readonly string[]
  readonly needs?: readonly Capability[]
  /** Default: 60 s. */
  readonly timeoutMs?: number
  /** True where it mostly waits, and minds no other proof. */
  readonly beside?: boolean
}

export type Saw = (source: Source, what: string, seen: unknown, expected: unknown) => void

/** Provokes, and says what each witness saw, one after the other; it never throws because of what it saw. */
export type Body = (mesh: Mesh, saw: Saw) => Promise<void>

export interface Proof extends Told {
  /** As `retry.transient`. */
  readonly name: string
  readonly body: Body
}

/** Of the files that were imported so far. */
export const PROOFS: Proof[] = []

/** What a witness may say, where it is not one value. */
export interface Expectation {
  readonly text: string
  holds(seen: never): boolean
}

export function between(least: number, most: number, why = ''): Expectation {
  const holds = (seen: number): boolean => seen >= least && seen <= most
  return { text: `${least} to ${most}${why === '' ? '' : ` (${why})`}`, holds }
}

export function atLeast(least: number): Expectation {
  return { text: `at least ${least}`, holds: (seen: number) => seen >= least }
}

export function atMost(most: number): Expectation {
  return { text: `at most ${most}`, holds: (seen: number) => seen <= most }
}

export function matching(pattern: RegExp): Expectation {
  return { text: String(pattern), holds: (seen: string) => pattern.test(seen) }
}

function isExpectation(expected: unknown): expected is Expectation {
  return typeof expected === 'object' && expected !== null && 'holds' in expected
}

/** What became of one run of a proof. */
export interface Shown {
  readonly witnesses: readonly Witness[]
  /** What broke beside any witness. */
  readonly broken?: unknown
}

/**
 * Runs it once, and takes back what it changed.
 * @param witnesses told as they are heard.
 * @param untilRed ends with the first witness that saw something else.
 */
export async function show(
  { name, body, timeoutMs = TIMEOUT_MS }: Proof,
  witnesses: Witness[],
  { untilRed = false }: { readonly untilRed?: boolean } = {},
): Promise<Shown> {
  const mesh = (await openMesh()).begin(name)
  const saw: Saw = (source, what, seen, expected) => {
    const holds = isExpectation(expected)
      ? expected.holds(seen as never)
      : isDeepStrictEqual(seen, expected)
    const text = isExpectation(expected) ? expected.text : JSON.stringify(expected)
    const witness = { source, what, seen, expected: text, holds }
    witnesses.push(witness)
    if (untilRed && !holds) throw new Error(tellWitness(witness))
  }
  try {
    await withinTime(body(mesh, saw), timeoutMs)
  } catch (broken) {
    return { witnesses, broken }
  } finally {
    await mesh.end()
  }
  return areTwo(witnesses)
    ? { witnesses }
    : { witnesses, broken: new Error(`${name} has one witness only.`) }
}

/** What is under way when the time is up comes to its end first: the next proof would count it. */
async function withinTime(work: Promise<void>, ms: number): Promise<void> {
  const ended = work.then(
    () => true,
    () => true,
  )
  if (await Promise.race([ended, pause(ms, false, { ref: false })])) return work
  await Promise.race([ended, pause(ENDS_WITHIN_MS, undefined, { ref: false })])
  throw new Error(`not within ${ms / 1000} s`)
}

/** Where no request flows the API server is the witness: of what was asked, and of what became of it. */
function areTwo(witnesses: readonly Witness[]): boolean {
  const sources = new Set(witnesses.map(({ source }) => source))
  return sources.size > 1 || (sources.has('kubernetes') && witnesses.length > 1)
}

export function tellWitness({ source, what, seen, expected }: Witness): string {
  return `${source}  ${what}: seen ${JSON.stringify(seen)}, expected ${expected}`
}

/** What this cluster lacks that the proof needs. */
export async function lackOf({ needs = [] }: Told): Promise<string | undefined> {
  if (needs.length === 0) return undefined
  const { capabilities } = (await openMesh()).begin('')
  const lacking = needs.find((need) => !capabilities[need])
  return lacking === undefined ? undefined : LACKS[lacking]
}

/** What a proof changed is taken back after its own time, and after what was under way then. */
const LEAVE_WITHIN_MS = 120_000
/** The mutants' runner takes them from PROOFS, without vitest. */
const vitest = process.env['VITEST'] === undefined ? undefined : await import('vitest')

export function proof(name: string, told: Told, body: Body): void {
  const made: Proof = { name, ...told, body }
  PROOFS.push(made)
  if (vitest === undefined) return
  const { expect, test } = vitest
  const options = {
    timeout: (told.timeoutMs ?? TIMEOUT_MS) + ENDS_WITHIN_MS + LEAVE_WITHIN_MS,
    concurrent: told.beside ?? false,
  }
  test(name, options, async ({ task, skip }) => {
    const witnesses: Witness[] = []
    const manifests = told.manifests.map((path) => `k8s/${path}`)
    const about = { name, promise: told.promise, fields: told.fields, manifests, witnesses }
    Object.assign(task.meta, { proof: about })
    const lack = await lackOf(told)
    if (lack !== undefined) skip(lack)
    const { broken } = await show(made, witnesses)
    const failed = witnesses.filter(({ holds }) => !holds)
    Object.assign(about, { atAssertion: failed.length > 0 })
    // What a witness saw says more than what broke because of it.
    if (failed.length > 0) expect.fail(failed.map(tellWitness).join('\n'))
    if (broken !== undefined) throw broken
  })
}
