/** `pnpm e2e`: every promise of the mesh, shown on a cluster, with what two witnesses saw. */
import { parseArgs } from 'node:util'
import { BaseSequencer, startVitest, type TestSpecification, type Vitest } from 'vitest/node'
import type { Api } from './cluster/api.ts'
import { runAudit } from './cluster/audit.ts'
import { detectCapabilities } from './cluster/capabilities.ts'
import { STATE_DIR } from './cluster/target.ts'
import { readVersions } from './cluster/versions.ts'
import { writeReport } from './report.ts'
import { createReporter, type Finished } from './reporter.ts'
import type { ProofResult, Witness } from './result.ts'
import { arrive, FLAGS, FLAGS_USAGE, onSignal, runCommand, type Session } from './session.ts'

const USAGE = `pnpm e2e [PROOF …] [--context NAME] [--touch NAMESPACE …] [--token-key FILE] [--keep]
  PROOF        retry.transient, or a beginning: retry, egress.on
${FLAGS_USAGE}`

function options() {
  return parseArgs({
    allowPositionals: true,
    options: FLAGS,
  })
}

/** By name: what a proof finds must not hang on how long others took the last time. */
class ByName extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return files.toSorted((a, b) => a.moduleId.localeCompare(b.moduleId))
  }
}

async function main(): Promise<void> {
  const { values, positionals } = options()
  if (values.help) return console.info(USAGE)
  let vitest: Vitest | undefined
  let session: Session | undefined
  const stopped = onSignal(async () => {
    await vitest?.cancelCurrentRun('keyboard-input')
    await vitest?.close()
    await session?.leave()
  })
  const run = await arrive(values)
  session = run
  vitest = await startVitest('test', [], {
    project: ['proofs'],
    sequence: { sequencer: ByName },
    run: true,
    watch: false,
    reporters: [createReporter({ onEnd: (finished) => conclude(run, finished, positionals) })],
    ...(positionals.length > 0 ? { testNamePattern: patternOf(positionals) } : {}),
  })
  if (stopped.now) return
  await vitest.close()
  await run.leave()
}

async function conclude(
  { api, target }: Session,
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
  const witnesses: Witness[] = []
  let reason: string | undefined
  try {
    const { checked, broken, direct } = await runAudit(api)
    const holds = broken.length === 0 && direct > 0
    reason = holds ? undefined : (broken[0] ?? 'no charge was seen')
    const what = `databases and card processor: what breaks ${checked.join(', ')}`
    witnesses.push(
      { source: 'ledger', what, seen: broken, expected: '[]', holds: broken.length === 0 },
      {
        source: 'processor',
        what: 'charges that the proofs made, each once in both ledgers',
        seen: direct,
        expected: 'at least 1',
        holds: direct > 0,
      },
    )
  } catch (error) {
    reason = (error as Error).message
  }
  const outcome = reason === undefined ? 'green' : 'red'
  console.info(
    `  ${outcome === 'green' ? '✓' : '✗'} money.audit${reason === undefined ? '' : `\n      ${reason}`}`,
  )
  return {
    name: 'money.audit',
    promise: 'After all proofs no order is charged twice, none is lost, nothing is oversold.',
    manifests: [],
    fields: [],
    outcome,
    ...(reason === undefined ? {} : { reason, atAssertion: witnesses.length > 0 }),
    witnesses,
    durationMs: performance.now() - startedMs,
  }
}

function patternOf(names: readonly string[]): string {
  return names.map((name) => `^${name.replaceAll('.', '\\.').replaceAll('*', '.*')}`).join('|')
}

await runCommand(USAGE, main)
