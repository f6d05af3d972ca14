/** The lab's commands as a person runs them. */
import { join, resolve } from 'node:path'
import { type Ended, exec } from '../src/command.ts'

export const MAIN = join(resolve(import.meta.dirname, '..'), 'src/main.ts')

export function lab(...args: readonly string[]): Promise<Ended> {
  return exec(process.execPath, [MAIN, ...args])
}

/** @throws with what it said where it fails. */
export async function succeed(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await lab(...args)
  if (code !== 0) throw new Error(`lab ${args.join(' ')} ended with ${code}.\n${stdout}\n${stderr}`)
  return stdout
}
