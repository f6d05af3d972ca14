/** A start that was killed leaves its programs running; the next one ends them, and only them. */
import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** Reads the pid files of `stateDir`. A number that meanwhile belongs to another program is left alone. */
export async function endLeftOvers(stateDir: string): Promise<void> {
  if (!existsSync(stateDir)) return
  const files = readdirSync(stateDir).filter((name) => name.endsWith('.pid'))
  await Promise.all(
    files.map(async (file) => {
      const path = join(stateDir, file)
      const pid = Number(readFileSync(path, 'utf8'))
      if (Number.isInteger(pid) && pid > 1 && (await isOurs(pid))) await end(pid)
      rmSync(path, { force: true })
    }),
  )
}

async function isOurs(pid: number): Promise<boolean> {
  const command = await promisify(execFile)('ps', ['-o', 'command=', '-p', String(pid)]).then(
    ({ stdout }) => stdout,
    () => '',
  )
  return command.includes(join(import.meta.dirname, '..')) && command.includes('dist/main.mjs')
}

/** SIGKILL, and waits until it is gone: the order protocol recovers from worse. */
async function end(pid: number): Promise<void> {
  process.kill(pid, 'SIGKILL')
  for (let i = 0; i < 100 && (await isOurs(pid)); i++)
    await new Promise((resolve) => setTimeout(resolve, 20))
}
