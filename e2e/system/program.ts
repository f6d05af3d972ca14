/** One program of the system as a process of its own: started from its bundle, watched, stopped by id. */
import { type ChildProcess, spawn } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'

/** A message that is a whole sentence for the person at the terminal. */
export class ProgramError extends Error {}

export interface ProgramOptions {
  /** Also the name of its log and pid file. */
  readonly name: string
  /** The bundle. */
  readonly bundle: string
  readonly env: Readonly<Record<string, string>>
  /** Answers 2xx once the program is ready. */
  readonly readyUrl: string
  /** Holds `logs/` and the pid files. */
  readonly stateDir: string
}

export interface Program {
  readonly name: string
  readonly logFile: string
  /** Undefined while it does not run. */
  pid(): number | undefined
  /** Resolves once it is ready. @throws ProgramError with the reason from its log. */
  start(more?: Readonly<Record<string, string>>): Promise<void>
  /** Sends the signal and resolves with the exit code once it is gone; `undefined` for a death by signal. */
  stop(signal?: NodeJS.Signals): Promise<number | undefined>
  /** Resolves when the running process is gone, whoever ended it. */
  gone(): Promise<void>
}

/** As in the image: what slips a prototype past the parser finds nothing to set. */
const NO_PROTO = '--disable-proto=delete'

/** 30 s: a cold start takes a quarter of a second, a schema wait a few. */
const READY_WITHIN_MS = 30_000
/** 30 s: services stop themselves hard after 25. */
const STOP_WITHIN_MS = 30_000

export function createProgram({ name, bundle, env, readyUrl, stateDir }: ProgramOptions): Program {
  const logFile = join(stateDir, 'logs', `${name}.log`)
  const pidFile = join(stateDir, `${name}.pid`)
  let child: ChildProcess | undefined
  let exit: Promise<number | undefined> = Promise.resolve(undefined)

  async function start(more: Readonly<Record<string, string>> = {}): Promise<void> {
    mkdirSync(dirname(logFile), { recursive: true })
    const log = openSync(logFile, 'a')
    // A group of its own: Ctrl-C goes to whoever started the system, who stops the programs in order.
    const started = spawn(process.execPath, [NO_PROTO, bundle], {
      env: { NODE_COMPILE_CACHE: join(dirname(bundle), 'compile-cache'), ...env, ...more },
      stdio: ['ignore', log, log],
      detached: true,
    })
    closeSync(log)
    child = started
    exit = new Promise((resolve) => {
      started.once('exit', (code) => {
        if (child === started) child = undefined
        rmSync(pidFile, { force: true })
        resolve(code ?? undefined)
      })
    })
    writeFileSync(pidFile, `${started.pid}\n`)
    await untilReady(started)
  }

  async function untilReady(started: ChildProcess): Promise<void> {
    const until = performance.now() + READY_WITHIN_MS
    while (child === started) {
      const ready = await fetch(readyUrl, { signal: AbortSignal.timeout(1000) }).then(
        ({ ok }) => ok,
        () => false,
      )
      if (ready) return
      if (performance.now() > until) {
        await stop('SIGKILL')
        throw new ProgramError(`${name} was not ready after 30 s; its log is ${logFile}.`)
      }
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
    throw new ProgramError(`${name} did not start: ${lastWords(logFile)} Its log is ${logFile}.`)
  }

  async function stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | undefined> {
    const stopping = child
    if (stopping === undefined) return exit
    stopping.kill(signal)
    const hard = setTimeout(() => stopping.kill('SIGKILL'), STOP_WITHIN_MS)
    const code = await exit
    clearTimeout(hard)
    return code
  }

  return {
    name,
    logFile,
    pid: () => child?.pid,
    start,
    stop,
    gone: () => exit.then(() => undefined),
  }
}

/** The last line of a log that is a sentence and no JSON: why a program refused to start. */
function lastWords(logFile: string): string {
  const lines = existsSync(logFile)
    ? readFileSync(logFile, 'utf8').trim().split('\n').slice(-20)
    : []
  return lines.filter((line) => !line.startsWith('{')).at(-1) ?? 'it gave no reason.'
}

/** Runs a bundle to its end. Resolves with its output. @throws ProgramError where it fails. */
export async function runBundle(
  bundle: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<string> {
  const { code, output } = await execBundle(bundle, args, env)
  if (code !== 0) throw new ProgramError(`${bundle} ${args.join(' ')} failed:\n${output.trim()}`)
  return output
}

/** Runs a bundle to its end; standard output and error in one, in the order they came. */
export function execBundle(
  bundle: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<{ readonly code: number; readonly output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [NO_PROTO, bundle, ...args], { env: { ...env } })
    const chunks: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.once('error', reject)
    child.once('close', (code) =>
      resolve({ code: code ?? 1, output: Buffer.concat(chunks).toString('utf8') }),
    )
  })
}
