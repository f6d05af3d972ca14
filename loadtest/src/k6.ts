/** k6 as a program of this machine or as a Job inside of the mesh: the plan in, its lines out. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { exec } from '@oms/lab/command'
import { LoadtestError } from './errors.ts'
import type { Plan, Told } from './plan.ts'

export const SCRIPTS = join(import.meta.dirname, '../k6')
/** Its report to its makers, its summary for people and its own API are not wanted. */
export const RUN = [
  'run',
  '--quiet',
  '--no-usage-report',
  '--address',
  '',
  '--log-format',
  'raw',
  '--log-output',
  'stdout',
] as const

export interface K6 {
  /** Resolves with the exit code. */
  readonly ended: Promise<number>
  stop(): void
}

/** @throws LoadtestError where there is none, or an older one. */
export async function findK6(cached: string | undefined): Promise<string> {
  for (const program of [cached, 'k6']) {
    if (program === undefined) continue
    const said = await exec(program, ['version']).catch(() => undefined)
    if (said?.code !== 0) continue
    const [, major] = /k6 v(\d+)\./.exec(said.stdout) ?? []
    if (Number(major) >= 1) return program
  }
  throw new LoadtestError(
    'There is no k6 of version 1 or later. Install it (https://grafana.com/docs/k6/latest/set-up/install-k6/), or build the tools of the lab, which has one: npx pnpm@12.21.0 lab:main build',
  )
}

export interface StartOptions {
  readonly program: string
  readonly plan: Plan
  /** PEM of who signed the target's certificate. */
  readonly authority?: string | undefined
  readonly onTold: (told: Told) => void
  readonly onNoise: (line: string) => void
}

export function startK6({ program, plan, authority, onTold, onNoise }: StartOptions): K6 {
  const child = spawn(program, [...RUN, join(SCRIPTS, 'journeys.ts')], {
    env: {
      ...process.env,
      PLAN: JSON.stringify(plan),
      ...(authority === undefined ? {} : { SSL_CERT_FILE: authority }),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const hear = (line: string): void => hearLine(line, onTold, onNoise)
  createInterface({ input: child.stdout }).on('line', hear)
  createInterface({ input: child.stderr }).on('line', hear)
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? 1))
  })
  return { ended, stop: () => child.kill('SIGKILL') }
}

/** The client says why. */
const UNEXPLAINED = 'Request Failed'

export function hearLine(
  line: string,
  onTold: (told: Told) => void,
  onNoise: (line: string) => void,
): void {
  if (line.startsWith('{"kind":')) onTold(JSON.parse(line) as Told)
  else if (line.trim() !== '' && line !== UNEXPLAINED) onNoise(line)
}
