/** What an operator runs by hand from a service's bundle: input from a file, words for a person, an exit code. */
import { readFileSync } from 'node:fs'
import type { Static, TSchema } from 'typebox'
import { Errors } from 'typebox/value'
import { stopOnce } from './lifecycle.ts'
import type { Server } from './server.ts'

export interface Terminal {
  log(line: string): void
  error(line: string): void
}

/** The operator's input is not right; the message says what to do. */
export class UsageError extends Error {}

/** What a bundle does by the first word after it: `serve` where there is none. */
export type Commands = Readonly<Record<string, (argument?: string) => Promise<unknown>>>

/**
 * Runs the command that `argv` names: `[name, argument]`. Resolves with the exit code; 2 for a name that is none, 1
 * for a failure, in words. `undefined` while the command serves on.
 */
export async function runCommand(
  [name = 'serve', argument]: readonly string[],
  commands: Commands,
  terminal: Terminal,
): Promise<number | undefined> {
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command === undefined) {
    const known = Object.keys(commands).join(', ')
    terminal.error(`There is no operation "${name}". Use one of: ${known}.`)
    return 2
  }
  try {
    const result = await command(argument)
    return typeof result === 'number' ? result : undefined
  } catch (error) {
    terminal.error(`${name}: ${(error as Error).message}`)
    return 1
  }
}

/** 30 s: a database that is starting, or far away, has answered by then. */
const READY_WITHIN_MS = 30_000

/** What a service waits for before it serves holds for its operations, too; but a person does not wait for ever. */
async function bootWithin(server: Server, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    const message = `The database was not ready after ${ms / 1000} s; check DATABASE_URL, and run migrate first.`
    timer = setTimeout(() => reject(new Error(message)), ms)
  })
  try {
    for (const step of server.chassis.boot) await Promise.race([step(), late])
  } finally {
    clearTimeout(timer)
  }
}

/** Boots, runs `work` and stops the server. Returns the exit code: 0, 1 for a failure, 2 for wrong input. */
export async function runOperation(
  server: Server,
  terminal: Terminal,
  work: () => Promise<void>,
): Promise<number> {
  try {
    await bootWithin(server, READY_WITHIN_MS)
    await work()
    return 0
  } catch (error) {
    terminal.error((error as Error).message)
    return error instanceof UsageError ? 2 : 1
  } finally {
    await stopOnce(server, 0)()
  }
}

export interface RecordFile<T extends TSchema> {
  /** What to type: `prices FILE`. */
  readonly usage: string
  readonly record: T
  /** What makes a record the only one of its kind. */
  readonly keyOf: (record: Static<T>) => string
}

/**
 * The records of a JSON file: an array.
 * @throws UsageError naming the file and the first record that is wrong; nothing of the file is taken then.
 */
export function readRecords<T extends TSchema>(
  path: string | undefined,
  { usage, record, keyOf }: RecordFile<T>,
): readonly Static<T>[] {
  if (path === undefined) throw new UsageError(`Name the file, a JSON array: ${usage}`)
  const records = parse(path)
  if (!Array.isArray(records)) throw new UsageError(`${path} must hold an array.`)
  const indexes = new Map<string, number>()
  for (const [index, each] of records.entries()) {
    // The last one sums up where several are about the same member.
    const wrong = Errors(record, each).at(-1)
    if (wrong !== undefined)
      throw new UsageError(
        `Entry ${index} of ${path} is wrong: ${wrong.instancePath || 'it'} ${wrong.message}. It is ${JSON.stringify(each)}.`,
      )
    const key = keyOf(each as Static<T>)
    const earlier = indexes.get(key)
    if (earlier !== undefined)
      throw new UsageError(`Entries ${earlier} and ${index} of ${path} are both about ${key}.`)
    indexes.set(key, index)
  }
  return records as Static<T>[]
}

function parse(path: string): unknown {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    throw new UsageError(
      `${path} cannot be read; check path and mode (${(cause as Error).message}).`,
      { cause },
    )
  }
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new UsageError(`${path} is not JSON (${(cause as Error).message}).`, { cause })
  }
}
