/** What every `verify:` job does around its work: an end on Ctrl-C, exit codes, a line that says what was done. */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type EmbeddedPostgres,
  freePort,
  startEmbeddedPostgres,
} from '@oms/chassis/embedded-postgres'

export interface Job {
  /** Of the job alone, gone with it. */
  readonly folder: string
  /** Run at the end, the last one first, also after Ctrl-C. */
  readonly atEnd: (() => Promise<unknown>)[]
  /** Aborted when the end begins, before any of them: nothing more is to begin. */
  readonly ended: AbortSignal
  say(line: string): void
}

export interface DatabaseJob extends Job {
  readonly postgres: EmbeddedPostgres
}

/** Wrong use: the message is a whole sentence for the person at the terminal. */
export class UsageError extends Error {}

/** Of the superuser and the services' roles, on a server that nobody else reaches. */
export const JOB_PASSWORD = 'test'

/**
 * Runs `work` and sets the exit code: 0 where it resolves with true, 1 for false, 2 for wrong use, 130 after Ctrl-C.
 * @param usage printed with a UsageError.
 */
export async function runJob(usage: string, work: (job: Job) => Promise<boolean>): Promise<void> {
  const startedMs = performance.now()
  const folder = mkdtempSync(join(tmpdir(), 'oms-verify-'))
  // As root PostgreSQL runs as user postgres, who must get through.
  chmodSync(folder, 0o755)
  const atEnd: Job['atEnd'] = [async () => rmSync(folder, { recursive: true, force: true })]
  const ended = new AbortController()
  let ending: Promise<void> | undefined
  let interrupted = false

  function say(line: string): void {
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
    console.info(`${seconds.padStart(8)} s  ${line}`)
  }

  async function endAll(): Promise<void> {
    ended.abort()
    for (const step of atEnd.reverse())
      await step().catch((error: Error) => console.error(error.message))
  }

  function end(): Promise<void> {
    ending ??= endAll()
    return ending
  }

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => {
      if (interrupted) return
      interrupted = true
      console.info('Stopping …')
      void end().then(() => process.exit(130))
    })

  try {
    process.exitCode = (await work({ folder, atEnd, ended: ended.signal, say })) ? 0 : 1
  } catch (error) {
    // What is cut off by the end complains; nobody has to hear it.
    if (interrupted) return
    process.exitCode = isWrongUse(error) ? 2 : 1
    console.error(isWrongUse(error) ? `${error.message}\n${usage}` : error)
  }
  if (!interrupted) await end()
}

/** `parseArgs` has a code, and a sentence that helps. */
function isWrongUse(error: unknown): error is Error {
  const { code = '' } = error as NodeJS.ErrnoException
  return error instanceof UsageError || code.startsWith('ERR_PARSE_ARGS_')
}

/** The job with a PostgreSQL of its own, which ends with it. */
export async function withPostgres(job: Job): Promise<DatabaseJob> {
  const postgres = await startEmbeddedPostgres({
    dataDir: join(job.folder, 'postgres'),
    port: await freePort(),
    superuserPassword: JOB_PASSWORD,
    settings: ['max_connections=200'],
  })
  job.atEnd.push(() => postgres.stop())
  return { ...job, postgres }
}

/** @throws UsageError */
export function wholeNumber(name: string, text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new UsageError(`${name} takes a whole number, not "${text}".`)
  return Number(text)
}

export function randomSeed(): number {
  return Math.floor(Math.random() * 2 ** 31)
}

/** `seed 7, commit 1a2b3c4, 95 % bound 3/n = 0.30 %`: with no failure in n independent tries, the rate is below 3/n. */
export function provenance(n: number, seed: number): string {
  return `seed ${seed}, commit ${commit()}, 95 % bound 3/n = ${(300 / n).toPrecision(2)} %`
}

function commit(): string {
  try {
    const described = execFileSync('git', ['describe', '--always', '--dirty'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    return described.trim()
  } catch {
    return 'unknown'
  }
}
