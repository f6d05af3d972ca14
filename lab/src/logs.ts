/** `pnpm lab logs NAME`: what a program of the node, or the pods of a workload, have written. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { hand, LabError } from './command.ts'
import { createKubectl, KUBECONFIG } from './kubectl.ts'
import { STATE_DIR } from './lab.ts'
import { requireTools } from './tools.ts'

const LOGS = join(STATE_DIR, 'logs')

/**
 * @param name of a program (`kubelet`), a workload (`order-service`) or a pod.
 * @param flags as `kubectl logs` takes them; of those a program's file knows only `-f`.
 * @throws LabError with the names there are.
 */
export async function logs(name: string, flags: readonly string[]): Promise<void> {
  const file = join(LOGS, `${name}.log`)
  if (existsSync(file)) {
    const follow = flags.includes('-f') ? ['-f'] : []
    process.exitCode = (await hand('tail', ['-n', '+1', ...follow, file])) ?? 1
    return
  }
  const program = requireTools().program('kubernetes', 'kubectl')
  const pods = await createKubectl(program).list('pods', '--all-namespaces')
  const found = pods.filter(
    ({ metadata }) => metadata.name === name || metadata.name.startsWith(`${name}-`),
  )
  if (found.length === 0)
    throw new LabError(
      `Nothing here is called ${name}. There are\n${names(pods.map(({ metadata }) => metadata.name))}`,
    )
  const codes = await Promise.all(
    found.map(({ metadata }) =>
      hand(program, [
        ...['--kubeconfig', KUBECONFIG, '-n', String(metadata.namespace)],
        ...['logs', metadata.name, '--prefix', ...flags],
      ]),
    ),
  )
  process.exitCode = codes.find((code) => code !== 0) ?? (codes.includes(undefined) ? 1 : 0)
}

function names(pods: readonly string[]): string {
  const programs = readdirSync(LOGS).map((file) => file.replace('.log', ''))
  return [...programs, ...pods].map((each) => `  ${each}`).join('\n')
}
