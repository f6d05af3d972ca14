/** Schemathesis, pinned with its dependencies by hash, in a virtual environment of its own in the user's cache. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { UsageError } from '../verification.ts'

const run = promisify(execFile)

const FOLDER = join(import.meta.dirname, 'schemathesis')
const REQUIREMENTS = join(FOLDER, 'requirements.txt')
/** Schemathesis' own least. */
const LEAST_PYTHON = '3.11'
const PYTHONS = ['python3', 'python3.14', 'python3.13', 'python3.12', 'python3.11']

/** Written last: an installation that was cut off is made anew. */
const COMPLETE = 'complete'

/** @throws UsageError there is no Python that could run it, or the packages cannot be had. */
export async function installSchemathesis(say: (line: string) => void): Promise<string> {
  const hash = createHash('sha256').update(readFileSync(REQUIREMENTS)).digest('hex').slice(0, 16)
  const cache = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache')
  const folder = join(cache, 'order-management', `schemathesis-${hash}`)
  const bin = join(folder, 'bin')
  if (existsSync(join(folder, COMPLETE)) && (await isPython(join(bin, 'python'))))
    return join(bin, 'schemathesis')
  const python = await findPython()
  say(`installing Schemathesis into ${folder}`)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  try {
    await run(python, ['-m', 'venv', folder])
    const quiet = ['--quiet', '--disable-pip-version-check', '--require-hashes']
    await run(join(bin, 'python'), ['-m', 'pip', 'install', ...quiet, '-r', REQUIREMENTS])
  } catch (error) {
    const { stderr = '' } = error as { readonly stderr?: string }
    throw new UsageError(
      `Schemathesis could not be installed: ${stderr.trim() || (error as Error).message}\nIt needs the modules venv and pip of Python (Debian: apt-get install python3-venv) and the package index.`,
    )
  }
  writeFileSync(join(folder, COMPLETE), '')
  return join(bin, 'schemathesis')
}

/** @throws UsageError */
async function findPython(): Promise<string> {
  for (const python of PYTHONS) if (await isPython(python)) return python
  throw new UsageError(
    `Schemathesis needs Python ${LEAST_PYTHON} or later, and none of ${PYTHONS.join(', ')} is one. Install it and run this again.`,
  )
}

function isPython(command: string): Promise<boolean> {
  const least = LEAST_PYTHON.replace('.', ', ')
  return run(command, ['-c', `import sys; sys.exit(sys.version_info < (${least}))`]).then(
    () => true,
    () => false,
  )
}

/** Answers by status, by operation: `GET /api/v1/orders`. */
export type Counts = Readonly<Record<string, Readonly<Record<string, number>>>>

export interface FuzzResult {
  readonly clean: boolean
  readonly counts: Counts
  readonly output: string
}

export interface FuzzOptions {
  readonly program: string
  /** The service's OpenAPI document. */
  readonly document: string
  readonly url: string
  /** Of Schemathesis. */
  readonly phases: readonly ('coverage' | 'fuzzing' | 'stateful')[]
  /** Of an operation in a phase. */
  readonly maxExamples: number
  readonly seed: number
  /** Priced in EUR and in stock for tenant acme. */
  readonly skus: readonly string[]
  /** Ids of confirmed orders of tenant acme. */
  readonly orders: readonly string[]
  /** For its output and whatever it writes. */
  readonly folder: string
  /** Called with the started process. */
  readonly onStart: (child: ChildProcess) => void
}

/** One run of Schemathesis over one document. */
export async function fuzz(options: FuzzOptions): Promise<FuzzResult> {
  const { program, document, url, phases, maxExamples, seed, skus, orders, folder } = options
  mkdirSync(folder, { recursive: true })
  const countsFile = join(folder, 'counts.json')
  const outputFile = join(folder, 'output.txt')
  const log = openSync(outputFile, 'w')
  const child = spawn(
    program,
    [
      '--no-color',
      ...['--config-file', join(FOLDER, 'schemathesis.toml')],
      ...['run', document, '--url', url],
      ...['--phases', phases.join(','), '--max-examples', String(maxExamples)],
      ...['--seed', String(seed)],
    ],
    {
      cwd: folder,
      // A group of its own: Ctrl-C goes to the job, which ends it.
      detached: true,
      stdio: ['ignore', log, log],
      env: {
        PATH: process.env['PATH'],
        HOME: folder,
        PYTHONDONTWRITEBYTECODE: '1',
        SCHEMATHESIS_HOOKS: join(FOLDER, 'hooks.py'),
        OMS_FUZZ_SEED: String(seed),
        OMS_FUZZ_SKUS: JSON.stringify(skus),
        OMS_FUZZ_ORDERS: JSON.stringify(orders),
        OMS_FUZZ_COUNTS: countsFile,
      },
    },
  )
  closeSync(log)
  options.onStart(child)
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', resolve)
  })
  return {
    clean: code === 0,
    counts: existsSync(countsFile) ? JSON.parse(readFileSync(countsFile, 'utf8')) : {},
    output: readFileSync(outputFile, 'utf8'),
  }
}
