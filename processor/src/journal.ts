/**
 * An append-only file of JSON lines, each with its number and checksum. What `append` resolved for survives a crash;
 * a line torn by one is cut off at the next start, any other damage refuses the start.
 */
import { type FileHandle, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import { StartError } from './config.ts'

const NEWLINE = 0x0a

/** The disk refused a write; from here on every append is refused, because a half line may stand at the end. */
export class JournalBroken extends Error {}

export interface Journal<Entry> {
  /** Length of the torn last line that was cut off at the start; 0 after an orderly stop. */
  readonly tornBytes: number
  /** Number that the next appended entry gets, from 1. */
  nextNumber(): number
  /**
   * Writes one entry; entries that wait together share one fsync.
   * @throws JournalBroken whether the entry is on disk is not known.
   */
  append(entry: Entry): Promise<void>
  /** Set once a write has failed. */
  failure(): JournalBroken | undefined
  /** Waits for the appends under way and gives the folder free. */
  close(): Promise<void>
}

export interface JournalOptions<Entry> {
  readonly path: string
  /** Called for each entry in the order of the file, at the start and, later, once an entry is on disk. */
  readonly apply: (entry: Entry) => void
  /** Own process id, written to `<path>.lock`. */
  readonly pid: number
  readonly isRunning: (pid: number) => boolean
}

/** @throws StartError the folder cannot be written, another process has it open, or the file is damaged. */
export async function openJournal<Entry extends object>({
  path,
  apply,
  pid,
  isRunning,
}: JournalOptions<Entry>): Promise<Journal<Entry>> {
  const folder = dirname(path)
  const lock = `${path}.lock`
  await prepareFolder(folder)
  await takeLock(lock, pid, isRunning)
  let file: FileHandle | undefined
  try {
    file = await open(path, 'a+', 0o600).catch((cause: unknown) => {
      throw unwritable(path, cause)
    })
    const { count, tornBytes } = await load(path, file, apply)
    await file.sync()
    await syncFolder(folder)
    return { tornBytes, ...appendTo(path, file, count + 1, apply, () => rm(lock)) }
  } catch (error) {
    await file?.close()
    await rm(lock, { force: true })
    throw error
  }
}

function appendTo<Entry extends object>(
  path: string,
  file: FileHandle,
  firstNumber: number,
  apply: (entry: Entry) => void,
  release: () => Promise<void>,
): Omit<Journal<Entry>, 'tornBytes'> {
  let number = firstNumber
  let waiting: { readonly entry: Entry; readonly line: string; settle: Settle }[] = []
  let writing: Promise<void> | undefined
  let broken: JournalBroken | undefined

  async function append(entry: Entry): Promise<void> {
    const line = encode({ number, ...entry })
    number += 1
    await new Promise<void>((resolve, reject) => {
      waiting.push({ entry, line, settle: { resolve, reject } })
      writing ??= writeAll()
    })
  }

  async function writeAll(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting
      waiting = []
      try {
        if (broken !== undefined) throw broken
        await file.appendFile(batch.map(({ line }) => line).join(''))
        await file.datasync()
      } catch (cause) {
        broken ??= new JournalBroken(
          `The ledger ${path} could not be written (${(cause as Error).message}). Free space or repair the disk, then restart; what was answered before is safe.`,
          { cause },
        )
        for (const { settle } of batch) settle.reject(broken)
        continue
      }
      for (const { entry, settle } of batch) {
        apply(entry)
        settle.resolve()
      }
    }
    writing = undefined
  }

  async function close(): Promise<void> {
    await writing
    await file.close()
    await release()
  }

  return { nextNumber: () => number, append, failure: () => broken, close }
}

interface Settle {
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

async function load<Entry>(
  path: string,
  file: FileHandle,
  apply: (entry: Entry) => void,
): Promise<{ readonly count: number; readonly tornBytes: number }> {
  const bytes = await file.readFile()
  let count = 0
  let start = 0
  for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
    count += 1
    const entry = decode<Entry>(bytes.toString('utf8', start, end), count)
    if (typeof entry === 'string')
      throw new StartError(
        `Line ${count} of the ledger ${path} is damaged: ${entry}. Put a copy of the file back, or empty DATA_DIR to start over without its charges; nothing was changed.`,
      )
    apply(entry)
    start = end + 1
  }
  const tornBytes = bytes.length - start
  if (tornBytes > 0) await file.truncate(start)
  return { count, tornBytes }
}

/** The checksum is the line's last member and covers all before it. */
function encode(entry: object): string {
  const text = JSON.stringify(entry)
  return `${text.slice(0, -1)},"crc32":"${checksum(text)}"}\n`
}

/** The entry, or what is wrong with the line. */
function decode<Entry>(line: string, expected: number): Entry | string {
  const [, members, crc] = /^(\{.*),"crc32":"([0-9a-f]{8})"\}$/.exec(line) ?? []
  if (members === undefined) return 'it is no entry of this ledger'
  const text = `${members}}`
  if (checksum(text) !== crc) return 'its checksum does not fit'
  const { number, ...entry } = JSON.parse(text) as { readonly number: number }
  return number === expected ? (entry as Entry) : `it should be entry ${expected}, not ${number}`
}

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0')
}

async function prepareFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true })
  } catch (cause) {
    throw unwritable(folder, cause)
  }
}

/** Two processes on one ledger would cut off each other's lines. A lock whose process is gone counts for nothing. */
async function takeLock(
  lock: string,
  pid: number,
  isRunning: (pid: number) => boolean,
): Promise<void> {
  try {
    await writeFile(lock, String(pid), { flag: 'wx' })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw unwritable(dirname(lock), cause)
    // After a crash in a container the next process has the same id: an own id is a left-over, too.
    const holder = Number(await readFile(lock, 'utf8'))
    if (holder > 0 && holder !== pid && isRunning(holder))
      throw new StartError(
        `The ledger in ${dirname(lock)} is open in process ${holder}. Stop that one or choose another DATA_DIR; if it is no card processor, delete ${lock}.`,
      )
    await writeFile(lock, String(pid))
  }
}

function unwritable(path: string, cause: unknown): StartError {
  return new StartError(
    `${path} cannot be written (${(cause as Error).message}). Give yourself the right to write there, or choose another DATA_DIR.`,
    { cause },
  )
}

/** A new file's name is durable only once its folder is. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
