/** What an operator runs by hand from a service's bundle: input from a file, words for a person, an exit code. */
import { readFileSync } from 'node:fs'
import { type Static, type TSchema, Type } from 'typebox'
import { Errors } from 'typebox/value'
import { stopOnce } from './lifecycle.ts'
import type { Server } from './server.ts'

export interface Terminal {
  log(line: string): void
  error(line: string): void
}

/** The operator's input is not right; the message says what to do. */
export class UsageError extends Error {}

/** Runs `work` and stops the server. Returns the exit code: 0, 1 for a failure, 2 for wrong input. */
export async function runOperation(
  server: Server,
  terminal: Terminal,
  work: () => Promise<void>,
): Promise<number> {
  try {
    await work()
    return 0
  } catch (error) {
    terminal.error((error as Error).message)
    return error instanceof UsageError ? 2 : 1
  } finally {
    await stopOnce(server, 0)()
  }
}

/**
 * The records of a JSON file.
 * @param usage what to type, for the message.
 * @throws UsageError no file, no JSON, or a record that does not conform: nothing of the file is taken then.
 */
export function readRecords<T extends TSchema>(
  path: string | undefined,
  record: T,
  usage: string,
): readonly Static<T>[] {
  if (path === undefined) throw new UsageError(`Name the file: ${usage}`)
  const records = parse(path)
  const first = [...Errors(Type.Array(record), records)][0]
  if (first !== undefined)
    throw new UsageError(`${path}${first.instancePath} ${first.message}; nothing was changed.`)
  return records as Static<T>[]
}

function parse(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new UsageError(`${path} is not a readable JSON file: ${(cause as Error).message}`, {
      cause,
    })
  }
}
