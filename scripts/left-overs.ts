/** One start at a time in a folder; what a killed one left running ends with the next, and only that. */
import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { StartError } from '@oms/chassis/embedded-postgres'

/** Beside the programs' own pid files. */
export const START_PID_FILE = 'start.pid'

const ROOT = join(import.meta.dirname, '..')

/**
 * Reads the pid files of `stateDir`. A number that meanwhile belongs to another program is left alone.
 * @throws StartError another start still runs there.
 */
export async function endLeftOvers(stateDir: string): Promise<void> {
  const starter = readPid(join(stateDir, START_PID_FILE))
  if (starter !== undefined && (await runs(starter, 'scripts/up.ts')))
    throw new StartError(
      `Order Management runs already on ${stateDir} (process ${starter}). Use that one, stop it with Ctrl-C, or give this one a folder and ports of its own: npm start -- --data FOLDER --port 9080`,
    )
  if (!existsSync(stateDir)) return
  const files = readdirSync(stateDir).filter((name) => name.endsWith('.pid'))
  await Promise.all(
    files.map(async (file) => {
      const path = join(stateDir, file)
      const pid = readPid(path)
      if (pid !== undefined) await end(pid)
      rmSync(path, { force: true })
    }),
  )
}

function readPid(path: string): number | undefined {
  const pid = existsSync(path) ? Number(readFileSync(path, 'utf8')) : Number.NaN
  return Number.isInteger(pid) && pid > 1 ? pid : undefined
}

/** Whether the process is this project's `program`. */
async function runs(pid: number, program: string): Promise<boolean> {
  const command = await promisify(execFile)('ps', ['-o', 'command=', '-p', String(pid)]).then(
    ({ stdout }) => stdout,
    () => '',
  )
  return command.includes(ROOT) && command.includes(program)
}

/** SIGKILL, and waits until it is gone: the order protocol recovers from worse. */
async function end(pid: number): Promise<void> {
  if (!(await runs(pid, 'dist/main.mjs'))) return
  process.kill(pid, 'SIGKILL')
  for (let i = 0; i < 100 && (await runs(pid, 'dist/main.mjs')); i++)
    await new Promise((resolve) => setTimeout(resolve, 20))
}
