/** `pnpm e2e`: every promise of the mesh, shown on a cluster, with what two witnesses saw. */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { KUBECONFIG } from '@oms/lab/kubectl'
import { STATE_DIR as LAB_DIR, runningLab } from '@oms/lab/lab'
import { startVitest } from 'vitest/node'
import { createApi } from './cluster/api.ts'
import { openJournal } from './cluster/changes.ts'
import { prepare, removeProbes } from './cluster/prepare.ts'
import { STATE_DIR, type Target, writeTarget } from './cluster/target.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { keep: { type: 'boolean', default: false }, context: { type: 'string' } },
})

const target: Target = {
  name: 'lab',
  kubeconfig: KUBECONFIG,
  lab: LAB_DIR,
  journal: join(STATE_DIR, 'journal.json'),
}
if (runningLab() === undefined) throw new Error('no lab')
writeTarget(target)
const api = createApi(target.context, target.kubeconfig)
const journal = openJournal(api, target.journal)
if (!values.keep) await journal.undoAll()
// Of a run that was ended: each has a proxy, and a machine has room for few dozens (inotify).
await removeProbes(api)
await prepare(api, journal.changesOf('prepare'))
process.exitCode = 0
const vitest = await startVitest('test', [], {
  project: ['proofs'],
  run: true,
  watch: false,
  ...(positionals.length > 0 ? { testNamePattern: positionals.map(patternOf).join('|') } : {}),
})
await vitest.close()
const after = openJournal(api, target.journal)
if (!values.keep) {
  await after.undoAll()
  await removeProbes(api)
}

function patternOf(name: string): string {
  return name.replaceAll('.', '\\.').replaceAll('*', '.*')
}
