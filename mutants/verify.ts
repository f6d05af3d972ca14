/** `pnpm verify:mutants`: every mistake of the table, made in a copy, must turn its own test red. */
import { execFile } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { freePort, startEmbeddedPostgres } from '@oms/chassis/embedded-postgres'
import { type Copy, createCopy } from './copy.ts'
import { type Ended, runTests } from './killing.ts'
import { FAST_ROWS, type Killer, MUTANTS, type Mutant } from './table.ts'

/** Mutants at once, each in a copy of its own. */
const WIDTH = 2

const USAGE = `pnpm verify:mutants [--fast] [--only NAME…]
  --fast        those of the rows ${[...FAST_ROWS].join(', ')}
  --only NAME   only this one, and what its test says; more names may follow`

/** A sentence for the person at the terminal. */
class VerifyError extends Error {}

interface Verdict {
  readonly red: boolean
  readonly word: string
  /** What the test said. */
  readonly why: string
}

interface Chosen {
  readonly mutants: readonly Mutant[]
  /** What a test said is of interest, though it was red as it should be. */
  readonly named: boolean
}

const startedMs = performance.now()
const stopped = new AbortController()
const closers: (() => unknown)[] = []

function chosen(): Chosen {
  const { values, positionals } = parse()
  const names = [...(values.only ?? []), ...positionals]
  const unknown = names.find((name) => MUTANTS.every((mutant) => mutant.name !== name))
  if (unknown !== undefined)
    throw new VerifyError(
      `There is no mutant "${unknown}". There are: ${MUTANTS.map(({ name }) => name).join(', ')}.`,
    )
  const mutants = MUTANTS.filter(
    ({ name, row }) =>
      (names.length === 0 || names.includes(name)) && (!values.fast || FAST_ROWS.has(row)),
  )
  // The longest first.
  const longest = ({ killer }: Mutant): number => Number(killer.file.startsWith('e2e/'))
  return {
    mutants: mutants.toSorted((a, b) => longest(b) - longest(a)),
    named: names.length > 0,
  }
}

function parse() {
  try {
    return parseArgs({
      options: {
        fast: { type: 'boolean', default: false },
        only: { type: 'string', multiple: true },
      },
      allowPositionals: true,
    })
  } catch (cause) {
    throw new VerifyError(`${(cause as Error).message}\n${USAGE}`, { cause })
  }
}

/** The copy's bundles, of its own sources. */
async function buildBundles({ folder }: Copy): Promise<void> {
  await promisify(execFile)(process.execPath, ['scripts/build.ts'], { cwd: folder })
}

/** Runs bundles, hence they are built first. */
function isSystem({ file }: Killer): boolean {
  return file.startsWith('e2e/system/')
}

async function startPostgres(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'oms-mutants-postgres-'))
  chmodSync(folder, 0o755)
  closers.push(() => rmSync(folder, { recursive: true, force: true }))
  const postgres = await startEmbeddedPostgres({
    dataDir: join(folder, 'data'),
    port: await freePort(),
    superuserPassword: 'test',
    settings: ['max_connections=300'],
  })
  closers.push(() => postgres.stop())
  return postgres.url('').replace(/\/$/, '')
}

async function startCopies(count: number): Promise<readonly Copy[]> {
  const copies = await Promise.all(Array.from({ length: count }, createCopy))
  closers.push(() => copies.map(({ remove }) => remove()))
  return copies
}

/** @throws VerifyError where a test is red without any mistake: it would prove nothing. */
async function requireGreen(copy: Copy, mutants: readonly Mutant[], url: string) {
  const killers = mutants.map(({ killer }) => killer)
  if (killers.some(isSystem)) await buildBundles(copy)
  const { endings, output } = await runTests(copy.folder, killers, url, stopped.signal)
  refuseStopped()
  const bad = mutants.filter(({ killer }) => endings(killer)?.passed !== true)
  if (bad.length === 0) return
  const told = bad.map(({ name, killer: { file, test } }) => {
    const ended = endings({ file, test })
    return `${name}: "${test}" in ${file} ${ended === undefined ? 'does not run' : `is red: ${ended.messages[0]}`}`
  })
  const hint = bad.some(({ killer }) => endings(killer) === undefined) ? `\n${output}` : ''
  throw new VerifyError(
    `Without any mutant these tests must be green; mend them, or name another in mutants/table.ts.\n${told.join('\n')}${hint}`,
  )
}

async function tryMutant(copy: Copy, mutant: Mutant, url: string): Promise<Verdict> {
  try {
    await copy.mutate(mutant.name)
  } catch (error) {
    return { red: false, word: 'no mutant', why: (error as Error).message }
  }
  try {
    if (isSystem(mutant.killer)) await buildBundles(copy)
    const { endings, output } = await runTests(copy.folder, [mutant.killer], url, stopped.signal)
    return judge(mutant, endings(mutant.killer), output)
  } finally {
    await copy.restore(mutant.name)
  }
}

/** Chai's, and what vitest says of a promise that should have ended in the other way. */
const ASSERTION = /^(?:AssertionError|Error: promise (?:resolved|rejected) )/

function judge({ fails }: Mutant, ended: Ended | undefined, output: string): Verdict {
  if (ended === undefined) return { red: false, word: 'did not run', why: output }
  const why = ended.messages.join('\n')
  if (ended.passed) return { red: false, word: 'SURVIVED', why }
  const isMeant = (message: string): boolean =>
    ASSERTION.test(message) || fails?.test(message) === true
  return ended.messages.some(isMeant)
    ? { red: true, word: 'red', why }
    : { red: false, word: 'red, but not by its assertion', why }
}

function seconds(sinceMs: number): string {
  return ((performance.now() - sinceMs) / 1000).toFixed(1)
}

function tell({ name, row, killer }: Mutant, { word }: Verdict, tookSeconds: string): void {
  const test = killer.test.length > 70 ? `${killer.test.slice(0, 69)}…` : killer.test
  const cells = [row.padEnd(8), name.padEnd(31), word.padEnd(4), `${tookSeconds.padStart(5)} s`]
  console.info(`${cells.join('  ')}  ${test}`)
}

async function verify(): Promise<boolean> {
  const { mutants, named } = chosen()
  const width = Math.min(WIDTH, mutants.length)
  const url = await startPostgres()
  const copies = await startCopies(width)
  await requireGreen(copies[0] as Copy, mutants, url)
  console.info(`without a mutant all killers are green, ${seconds(startedMs)} s`)

  const queue = mutants.values()
  let killed = 0
  const workers = await Promise.allSettled(
    copies.map(async (copy) => {
      for (const mutant of queue) {
        const beganMs = performance.now()
        const verdict = await tryMutant(copy, mutant, url)
        refuseStopped()
        if (verdict.red) killed++
        tell(mutant, verdict, seconds(beganMs))
        if (!verdict.red) console.info(verdict.why)
        else if (named) console.info(verdict.why.split('\n    at ')[0])
      }
    }),
  )
  // Each has ended before the first failure is told.
  for (const worker of workers) if (worker.status === 'rejected') throw worker.reason
  console.info(`n = ${mutants.length} mutants, ${killed} killed, ${seconds(startedMs)} s`)
  return killed === mutants.length
}

/** @throws VerifyError after Ctrl-C: what was cut off says nothing. */
function refuseStopped(): void {
  if (stopped.signal.aborted) throw new VerifyError('Stopped.')
}

async function close(): Promise<void> {
  for (const each of closers.splice(0).reverse()) await each()
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => stopped.abort())
try {
  process.exitCode = (await verify()) ? 0 : 1
} catch (error) {
  console.error(error instanceof VerifyError ? error.message : error)
  process.exitCode = 1
} finally {
  await close()
}
