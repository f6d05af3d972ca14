/** Which cluster the proofs run against, and what they may do there: handed from the command to its workers. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '@oms/lab/folders'

export const STATE_DIR = join(ROOT, '.e2e')

export interface Target {
  /** For the report. */
  readonly name: string
  readonly kubeconfig?: string
  readonly context?: string
  /** The folder of the lab's state, where it is the lab. */
  readonly lab?: string
  /** PKCS 8 PEM of who signs tokens that the gateway accepts. */
  readonly tokenKey?: string
  /** What was changed and is to be taken back. */
  readonly journal: string
}

const VARIABLE = 'OMS_PROOFS_TARGET'

export function writeTarget(target: Target): void {
  mkdirSync(STATE_DIR, { recursive: true })
  process.env[VARIABLE] = JSON.stringify(target)
}

/** @throws Error where nobody chose one. */
export function readTarget(): Target {
  const text = process.env[VARIABLE]
  if (text === undefined) throw new Error('The proofs run by pnpm e2e: it chooses the cluster.')
  return JSON.parse(text)
}
