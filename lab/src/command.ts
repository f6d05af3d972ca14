/** Programs of the system, run to their end. */
import { type SpawnOptions, spawn } from 'node:child_process'

/** A message that is a whole sentence for the person at the terminal: what happened, what to do. */
export class LabError extends Error {}

export interface RunOptions {
  readonly cwd?: string
  /** In place of the process's own. */
  readonly env?: NodeJS.ProcessEnv
  readonly input?: string
  /** Each line of standard error as it comes. */
  readonly onLine?: (line: string) => void
  readonly signal?: AbortSignal
}

/** Resolves with standard output. @throws LabError with what the program said last. */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { code, stdout, stderr } = await exec(command, args, options)
  if (code !== 0)
    throw new LabError(
      `${command} ${args.slice(0, 4).join(' ')} failed (${code}): ${lastLines(stderr || stdout)}`,
    )
  return stdout
}

export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** @throws LabError where there is no such program. */
export function exec(
  command: string,
  args: readonly string[],
  { cwd, env, input, onLine, signal }: RunOptions = {},
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const options: SpawnOptions = {
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      ...(cwd === undefined ? {} : { cwd }),
      ...(env === undefined ? {} : { env }),
      ...(signal === undefined ? {} : { signal }),
    }
    const child = spawn(command, args, options)
    const out: Buffer[] = []
    const err: Buffer[] = []
    let rest = ''
    child.stdout?.on('data', (chunk: Buffer) => out.push(chunk))
    child.stderr?.on('data', (chunk: Buffer) => {
      err.push(chunk)
      if (onLine === undefined) return
      const lines = (rest + chunk.toString('utf8')).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) onLine(line)
    })
    child.once('error', (cause: NodeJS.ErrnoException) =>
      reject(
        cause.code === 'ENOENT'
          ? new LabError(
              `There is no program ${command} here; pnpm lab build says what is missing.`,
            )
          : cause,
      ),
    )
    child.once('close', (code) =>
      resolve({
        code: code ?? 1,
        stdout: Buffer.concat(out).toString('utf8'),
        stderr: Buffer.concat(err).toString('utf8'),
      }),
    )
    // A program that ends before it has read everything says so by its exit code.
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(input)
  })
}

/** The terminal is the program's until it ends. Resolves with its exit code; none for a death by signal. */
export function hand(
  command: string,
  args: readonly string[],
  { cwd, env }: Pick<RunOptions, 'cwd' | 'env'> = {},
): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: 'inherit', cwd, env })
    child.once('error', reject)
    child.once('exit', (code) => resolve(code ?? undefined))
  })
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-5).join('\n')
}
