/** The command: what is asked for, one run after the other, and what became of them. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { ROOT } from '@oms/lab/folders'
import { runningLab } from '@oms/lab/lab'
import { cachedTools } from '@oms/lab/tools'
import { arrive, FLAGS, onSignal } from '@oms/proofs/session'
import { durationInWords } from '@oms/proofs/words'
import { CATALOGUE, DEFAULT_PROFILE, scenarioOf } from './catalogue.ts'
import { openCluster } from './cluster.ts'
import { LoadtestError } from './errors.ts'
import { startJob } from './job.ts'
import { findK6, startK6 } from './k6.ts'
import { isLoopback, openLocal } from './local.ts'
import { PROFILES, type Profile } from './profiles.ts'
import { writeReport } from './report.ts'
import { type Judged, run, type StartK6 } from './run.ts'
import type { Protection, Scenario } from './scenario.ts'
import type { Target } from './target.ts'

export const USAGE = `pnpm loadtest SCENARIO … [--profile NAME] [--without PROTECTION]
  --all            every scenario
  --list           says which there are, with their protections
  --profile        ${Object.keys(PROFILES).join(', ')}; default: average; overload and rollouts have their own
  --without        takes that protection away, and must see it: red is right; \`each\`: one after the other
  --from           host (default), or cluster: k6 as a Job in the mesh
  --url            of the API: loopback, or, with --context, the gateway of that cluster
  --ca             PEM of who signed the gateway's certificate
  --context        a cluster of your kubeconfig; default: the lab, else npm start on 127.0.0.1:8080
  --touch          a namespace that may be changed although it has no marker
  --token-key      PKCS 8 PEM of who signs tokens that the gateway accepts; the lab has its own
  --keep           what the faults need stays in the cluster for the next run`

const LOCAL = 'http://127.0.0.1:8080'
const REPORTS = join(ROOT, '.loadtest')

function options(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      ...FLAGS,
      all: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      profile: { type: 'string' },
      without: { type: 'string' },
      from: { type: 'string', default: 'host' },
      url: { type: 'string' },
      ca: { type: 'string' },
    },
  })
}
type Values = ReturnType<typeof options>['values']

/** The others are in the report. */
const SAID = 3

interface Trial {
  readonly scenario: Scenario
  readonly without?: { readonly name: string; readonly protection: Protection }
}

/** @param args as after the command's name. @throws LoadtestError where nothing can be run. */
export async function loadtest(args: readonly string[]): Promise<void> {
  const { values, positionals } = options(args)
  if (values.help) return console.info(USAGE)
  if (values.list) return list()
  const scenarios = values.all ? CATALOGUE : positionals.map(named)
  if (scenarios.length === 0)
    throw new LoadtestError('Which scenario? pnpm loadtest --list says which there are.')
  const trials = scenarios.flatMap((scenario) => trialsOf(scenario, values.without))
  const profile = profileOf(values.profile)
  if (!['host', 'cluster'].includes(values.from))
    throw new LoadtestError(`--from is host or cluster, not "${values.from}".`)
  const local = await openLocally(values)
  const program = values.from === 'host' ? await findK6(cachedTools()?.program('k6', 'k6')) : ''
  const target = local ?? (await openByContext(values))
  const lacking = trials.filter(({ scenario }) => !runsOn(scenario, target))
  if (lacking.length > 0 && !values.all) {
    await target.close()
    throw new LoadtestError(
      `${lacking.map(({ scenario }) => scenario.name).join(', ')}: only on a cluster, and ${target.name} is none. Bring up the lab: npx pnpm@12.21.0 lab:main up`,
    )
  }
  if (values.from === 'cluster' && target.cluster === undefined)
    throw new LoadtestError(`--from cluster: ${target.name} is no cluster.`)
  const abort = new AbortController()
  let current: Promise<Judged> | undefined
  const stopped = onSignal(async () => {
    abort.abort()
    await current?.catch(() => undefined)
    await target.close()
  })
  const k6 = (given: StartK6) => {
    const mesh = target.cluster?.mesh
    return values.from === 'cluster' && mesh !== undefined
      ? startJob({ ...given, mesh, target })
      : startK6({ ...given, program, authority: target.authority })
  }

  const judged: Judged[] = []
  const unjudged: string[] = []
  for (const { scenario, without } of trials.filter((trial) => runsOn(trial.scenario, target))) {
    current = tryOut({
      scenario,
      without,
      target,
      k6,
      profile: scenario.profile ?? profile ?? DEFAULT_PROFILE,
      signal: abort.signal,
    })
    try {
      judged.push(await current)
    } catch (error) {
      if (!stopped.now) {
        console.error(`  ✗ it could not be judged: ${(error as Error).message}`)
        unjudged.push(scenario.name)
      }
    }
    // Who got the signal ends the process, once all is taken back.
    if (stopped.now) await new Promise<never>(() => undefined)
  }
  await target.close()
  conclude(judged, unjudged, trials.length - judged.length - unjudged.length)
}

async function tryOut(given: Omit<Parameters<typeof run>[0], 'folder' | 'say'>): Promise<Judged> {
  const { scenario, without, target } = given
  const name = without === undefined ? scenario.name : `${scenario.name}-without-${without.name}`
  const folder = join(REPORTS, name)
  mkdirSync(folder, { recursive: true })
  const startedMs = performance.now()
  console.info(`\n${name}  ${without === undefined ? scenario.line : without.protection.what}`)
  const judged = await run({
    ...given,
    folder,
    say: (line) =>
      console.info(`  ${durationInWords(performance.now() - startedMs).padStart(8)}  ${line}`),
  })
  for (const { name: what, expected, seen, holds } of judged.findings)
    console.info(`  ${holds ? '✓' : '✗'} ${what.padEnd(40)} ${expected.padEnd(22)} ${seen}`)
  for (const line of judged.said.slice(0, SAID)) console.info(`    k6: ${line}`)
  const page = writeReport(folder, judged, target.traceUrl)
  const verdict = verdictOf(judged, without?.protection)
  console.info(
    `  ${verdict.isRight ? '✓' : '✗'} ${verdict.text}, in ${durationInWords(performance.now() - startedMs)}: ${relative(process.cwd(), page)}`,
  )
  return judged
}

interface Verdict {
  readonly isRight: boolean
  readonly text: string
}

/** Without a protection a run must be red, and where the protection says so. */
function verdictOf({ findings, holds }: Judged, protection: Protection | undefined): Verdict {
  if (protection === undefined)
    return { isRight: holds, text: holds ? 'every promise was kept' : 'a promise was broken' }
  const red = findings.filter((finding) => !finding.holds).map(({ name }) => name)
  const unseen = protection.breaks.filter((name) => !red.includes(name))
  return unseen.length === 0
    ? { isRight: true, text: `red without it, as it must be: ${protection.breaks.join(', ')}` }
    : { isRight: false, text: `not red without it: ${unseen.join(', ')}` }
}

function conclude(judged: readonly Judged[], unjudged: readonly string[], notRun: number): void {
  const wrong = judged.filter((each) => !verdictOf(each, protectionOf(each)).isRight)
  mkdirSync(REPORTS, { recursive: true })
  console.info(
    `\n${judged.length - wrong.length} passed, ${wrong.length + unjudged.length} failed${notRun > 0 ? `, ${notRun} not run: they need a cluster` : ''}`,
  )
  writeFileSync(
    join(REPORTS, 'summary.json'),
    `${JSON.stringify(
      judged.map(({ scenario, without, target, findings, holds }) => ({
        scenario,
        without,
        target,
        holds,
        findings,
      })),
      undefined,
      2,
    )}\n`,
  )
  if (wrong.length + unjudged.length > 0) process.exitCode = 1
}

function protectionOf({ scenario, without }: Judged): Protection | undefined {
  return without === undefined ? undefined : scenarioOf(scenario)?.protections[without]
}

function list(): void {
  for (const { name, line, protections } of CATALOGUE) {
    console.info(`${name.padEnd(18)}${line}`)
    for (const [protection, { what }] of Object.entries(protections))
      console.info(`${' '.repeat(20)}--without ${protection}: ${what}`)
  }
  console.info('\nProfiles:')
  for (const [name, { line }] of Object.entries(PROFILES)) console.info(`${name.padEnd(18)}${line}`)
}

function named(name: string): Scenario {
  const scenario = scenarioOf(name)
  if (scenario === undefined)
    throw new LoadtestError(
      `There is no scenario ${name}; there are ${CATALOGUE.map((each) => each.name).join(', ')}.`,
    )
  return scenario
}

function trialsOf(scenario: Scenario, without: string | undefined): readonly Trial[] {
  if (without === undefined) return [{ scenario }]
  const names = Object.keys(scenario.protections)
  if (without !== 'each' && !names.includes(without))
    throw new LoadtestError(
      `${scenario.name} has no protection ${without}; it has ${names.join(', ') || 'none'}.`,
    )
  return (without === 'each' ? names : [without]).map((name) => ({
    scenario,
    without: { name, protection: scenario.protections[name] as Protection },
  }))
}

function profileOf(name: string | undefined): Profile | undefined {
  if (name === undefined) return undefined
  const profile = (PROFILES as Readonly<Record<string, Profile>>)[name]
  if (profile === undefined)
    throw new LoadtestError(
      `There is no profile ${name}; there are ${Object.keys(PROFILES).join(', ')}.`,
    )
  return profile
}

function runsOn({ needs }: Scenario, { cluster }: Target): boolean {
  return needs === 'api' || cluster !== undefined
}

/** Undefined where a cluster is meant. @throws LoadtestError where it is no address that we may load. */
async function openLocally({ url, context }: Values): Promise<Target | undefined> {
  if (context !== undefined) return undefined
  if (url === undefined) return runningLab() === undefined ? openLocal(LOCAL) : undefined
  if (!isLoopback(url))
    throw new LoadtestError(
      `${url} is not on this machine. A load goes there only with the context of its cluster: --context NAME --url ${url}`,
    )
  return openLocal(url.replace(/\/$/, ''))
}

async function openByContext(values: Values): Promise<Target> {
  const session = await arrive({ ...values, context: values.context ?? 'lab' })
  try {
    return await openCluster({ session, url: values.url, authority: values.ca })
  } catch (error) {
    await session.leave()
    throw error
  }
}
