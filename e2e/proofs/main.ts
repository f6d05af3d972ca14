/** `pnpm e2e`: every promise of the mesh, shown on a cluster, with what two witnesses saw. */
import { parseArgs } from 'node:util'
import { LabError } from '@oms/lab/command'
import { startVitest, type Vitest } from 'vitest/node'
import { type Api, createApi } from './cluster/api.ts'
import { runAudit } from './cluster/audit.ts'
import { detectCapabilities } from './cluster/capabilities.ts'
import { type Journal, openJournal } from './cluster/changes.ts'
import { chooseTarget } from './cluster/choose.ts'
import { ProofsError, preflight } from './cluster/preflight.ts'
import { prepare, removeProbes } from './cluster/prepare.ts'
import { STATE_DIR, type Target, writeTarget } from './cluster/target.ts'
import { readVersions } from './cluster/versions.ts'
import { writeReport } from './report.ts'
import { createReporter, type Finished } from './reporter.ts'
import type { ProofResult } from './result.ts'

const USAGE = `pnpm e2e [PROOF …] [--context NAME] [--touch NAMESPACE …] [--token-key FILE] [--keep]
  PROOF        retry.transient, or a beginning: retry, egress.on
  --context    of your kubeconfig; default: its current one, else the lab
  --touch      a namespace that may be changed although it has no marker
  --token-key  PKCS 8 PEM of who signs tokens that the gateway accepts; the lab has its own
  --keep       what the proofs need stays there for the next run; without it all is taken back`

function options() {
  return parseArgs({
    allowPositionals: true,
    options: {
      context: { type: 'string' },
      touch: { type: 'string', multiple: true, default: [] },
      'token-key': { type: 'string' },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
}

async function main(): Promise<void> {
  const { values, positionals } = options()
  if (values.help) return console.info(USAGE)
  const target = chooseTarget({ context: values.context, tokenKey: values['token-key'] })
  writeTarget(target)
  const api = createApi(target.context, target.kubeconfig)
  await preflight(api, target, values.touch)
  const journal = openJournal(api, target.journal)
  const run = { api, target, keep: values.keep }
  let vitest: Vitest | undefined
  const stopped = onSignal(async () => {
    await vitest?.cancelCurrentRun('keyboard-input')
    await vitest?.close()
    await leave(run)
  })
  await arrive(run, journal)
  vitest = await startVitest('test', [], {
    project: ['proofs'],
    run: true,
    watch: false,
    reporters: [createReporter({ onEnd: (finished) => conclude(run, finished, positionals) })],
    ...(positionals.length > 0 ? { testNamePattern: patternOf(positionals) } : {}),
  })
  if (stopped.now) return
  await vitest.close()
  await leave(run)
}

interface Run {
  readonly api: Api
  readonly target: Target
  readonly keep: boolean
}

/** What an earlier run left is taken back first. */
async function arrive({ api, target, keep }: Run, journal: Journal): Promise<void> {
  console.info(`The proofs run on ${target.name}.`)
  await removeProbes(api)
  if (!keep) await journal.undoAll()
  await prepare(api, journal.changesOf('prepare'))
}

async function leave({ api, target, keep }: Run): Promise<void> {
  if (keep) return
  await openJournal(api, target.journal).undoAll()
  await removeProbes(api)
}

async function conclude(
  { api, target }: Run,
  { startedAt, durationMs, proofs }: Finished,
  only: readonly string[],
): Promise<string> {
  const audited = only.length > 0 ? [] : [await audit(api)]
  const [versions, capabilities] = await Promise.all([
    readVersions(api),
    detectCapabilities(api, target),
  ])
  const all = [...proofs, ...audited]
  if (all.some(({ outcome }) => outcome === 'red')) process.exitCode = 1
  const cluster = target.name
  return writeReport(STATE_DIR, {
    startedAt,
    durationMs,
    cluster,
    versions,
    capabilities,
    proofs: all,
  })
}

/** The last of the proofs: whatever they broke, money and stock are right. */
async function audit(api: Api): Promise<ProofResult> {
  const startedMs = performance.now()
  const { code, said } = await runAudit(api)
  const holds = code === 0
  console.info(`  ${holds ? '✓' : '✗'} money.audit\n${holds ? '' : said}`)
  return {
    name: 'money.audit',
    promise: 'After all proofs no order is charged twice, none is lost, nothing is oversold.',
    manifests: [],
    fields: [],
    outcome: holds ? 'green' : 'red',
    ...(holds ? {} : { reason: said.split('\n')[0] ?? '', atAssertion: code === 1 }),
    witnesses: [
      {
        source: 'ledger',
        what: 'the audit of databases and card processor',
        seen: said,
        expected: 'no promise broken',
        holds,
      },
    ],
    durationMs: performance.now() - startedMs,
  }
}

/** Ends once, by Ctrl-C or kill; the second one is the system's. */
function onSignal(end: () => Promise<void>): { readonly now: boolean } {
  const state = { now: false }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => {
      state.now = true
      console.info('\nEnding; what was changed is taken back …')
      end().then(
        () => process.exit(130),
        (error: Error) => {
          console.error(error.message)
          process.exit(1)
        },
      )
    })
  return state
}

function patternOf(names: readonly string[]): string {
  return names.map((name) => `^${name.replaceAll('.', '\\.').replaceAll('*', '.*')}`).join('|')
}

try {
  await main()
} catch (error) {
  const isUsage = String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS')
  if (!(error instanceof ProofsError || error instanceof LabError || isUsage)) throw error
  console.error(`${(error as Error).message}${isUsage ? `\n\n${USAGE}` : ''}`)
  process.exitCode = isUsage ? 2 : 1
}
