/** One run at a time on a cluster: each takes back what it finds changed. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { ProofsError } from './cluster/preflight.ts'

/**
 * Held until this process ends.
 * @param journal of the changes on `cluster`, beside which the process is noted.
 * @throws ProofsError where another run is under way from here.
 */
export function beAlone(journal: string, cluster: string): void {
  const file = `${journal}.pid`
  const pid = existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0
  if (pid > 0 && isAlive(pid))
    throw new ProofsError(
      `Another run is under way on ${cluster}: process ${pid}. Wait for it, or end it: kill -INT ${pid}. If that process is no such run, remove ${file}. Nothing was touched.`,
    )
  writeFileSync(file, String(process.pid))
  process.once('exit', () => rmSync(file, { force: true }))
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
