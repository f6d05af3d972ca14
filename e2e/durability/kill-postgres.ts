/** kill -9 of a whole PostgreSQL, as a host that loses power ends it: nothing is flushed, told or tidied up. */
import { execFile } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** 10 s: the kernel needs milliseconds. */
const GONE_WITHIN_MS = 10_000

interface Process {
  readonly pid: number
  readonly parent: number
  /** Dead, and not yet asked for by its parent. */
  readonly zombie: boolean
}

/**
 * Ends postmaster and backends of the cluster in `dataDir`; resolves with how many they were, once all are gone. The
 * next start there goes through crash recovery.
 */
export async function killPostgres(dataDir: string): Promise<number> {
  const pidFile = join(dataDir, 'postmaster.pid')
  const postmaster = Number(readFileSync(pidFile, 'utf8').split('\n')[0])
  // Held first: it makes no more children, and does not answer the death of one by ending the others in order.
  process.kill(postmaster, 'SIGSTOP')
  const children = (await processes()).filter(({ parent }) => parent === postmaster)
  const victims = [postmaster, ...children.map(({ pid }) => pid)]
  for (const pid of victims) kill(pid)
  await gone(new Set(victims))
  // All are gone; the number may soon be another program's, before which PostgreSQL would refuse to start.
  rmSync(pidFile)
  return victims.length
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

async function gone(victims: ReadonlySet<number>): Promise<void> {
  const until = performance.now() + GONE_WITHIN_MS
  while ((await processes()).some(({ pid, zombie }) => !zombie && victims.has(pid)))
    if (performance.now() > until)
      throw new Error(`PostgreSQL ${[...victims].join(', ')} lives 10 s after SIGKILL`)
}

async function processes(): Promise<readonly Process[]> {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,ppid=,stat='])
  return stdout
    .trim()
    .split('\n')
    .map((line) => {
      const [pid, parent, state = ''] = line.trim().split(/\s+/)
      return { pid: Number(pid), parent: Number(parent), zombie: state.startsWith('Z') }
    })
}
