/** What became of a test, of a file and of an error, as the result of a proof. */
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import type { TestCase, TestModule } from 'vitest/node'
import type { ProofResult } from './result.ts'

/** What a proof leaves in its `task.meta.proof`; a witness as soon as it is heard. */
export type ProofMeta = Omit<ProofResult, 'outcome' | 'durationMs'> & {
  /** What the cluster lacks. The test then skipped itself. */
  readonly notRun?: string
}

const ENDED_EARLY = 'the run ended before it'

/** Frames of a stack that say nothing to who reads a proof. */
const NOT_OURS = /node_modules|node:/

type Failure = Readonly<Pick<Error, 'message'> & Partial<Pick<Error, 'name' | 'stack'>>>

export function metaOf(test: TestCase): ProofMeta | undefined {
  return (test.meta() as { readonly proof?: ProofMeta }).proof
}

/** It did not begin, and said no reason. */
export function isLeftOut(test: TestCase): boolean {
  const result = test.result()
  return (
    result.state === 'skipped' &&
    test.options.mode === 'skip' &&
    result.note === undefined &&
    !metaOf(test)
  )
}

export function resultOf(test: TestCase): ProofResult {
  const { notRun, reason, atAssertion, ...proof } = metaOf(test) ?? nameless(test.fullName)
  const durationMs = test.diagnostic()?.duration ?? 0
  const result = test.result()
  const disagrees = proof.witnesses.some(({ holds }) => !holds)
  if (result.state === 'failed')
    return {
      ...proof,
      outcome: 'red',
      reason: reason ?? errorInWords(result.errors[0]),
      atAssertion: atAssertion ?? disagrees,
      durationMs,
    }
  if (result.state === 'passed' && disagrees)
    return {
      ...proof,
      outcome: 'red',
      reason: 'a witness disagrees',
      atAssertion: true,
      durationMs,
    }
  if (result.state === 'passed') return { ...proof, outcome: 'green', durationMs }
  const note = result.state === 'skipped' ? result.note : ENDED_EARLY
  const guess = isLeftOut(test) ? 'skipped without a reason' : 'what prepares it failed'
  return { ...proof, outcome: 'not run', reason: notRun ?? reason ?? note ?? guess, durationMs }
}

function nameless(name: string): ProofMeta {
  return { name, promise: '', manifests: [], fields: [], witnesses: [] }
}

export function brokenOutside(name: string, error: Failure): ProofResult {
  return {
    ...nameless(name),
    promise: 'nothing fails outside of a proof',
    outcome: 'red',
    reason: errorInWords(error),
    atAssertion: false,
    durationMs: 0,
  }
}

export function neverRan({ relativeModuleId }: TestModule): ProofResult {
  return {
    ...nameless(relativeModuleId),
    outcome: 'not run',
    reason: ENDED_EARLY,
    durationMs: 0,
  }
}

/** The first line of it, and where: `TypeError: no such pod (e2e/proofs/retry.test.ts:25)`. */
function errorInWords(error: Failure | undefined): string {
  const { name = 'Error', message = '', stack = '' } = error ?? {}
  const [line = ''] = stripVTControlCharacters(message).trim().split('\n')
  const said = name === 'Error' ? line : `${name}: ${line}`
  const frame = stack
    .split('\n')
    .find((at) => /^\s+at .*\/.*:\d+:\d+/.test(at) && !NOT_OURS.test(at))
  const [, file, row] = /([^\s(]+):(\d+):\d+\)?$/.exec(frame ?? '') ?? []
  if (file === undefined) return said
  const path = file.startsWith('file:') ? fileURLToPath(file) : file
  return `${said} (${relative(process.cwd(), path)}:${row})`
}
