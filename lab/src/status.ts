/** `pnpm lab status`: the lab's doors, and what runs behind them. */
import { dirname } from 'node:path'
import { createKubectl, KUBECONFIG, type KubernetesObject } from './kubectl.ts'
import { type Lab, urlOf } from './lab.ts'
import { DOOR_NAMES } from './ports.ts'
import { say } from './progress.ts'
import { requireTools } from './tools.ts'

export async function tellStatus(lab: Lab): Promise<void> {
  const tools = requireTools()
  const programs = [tools.program('kubernetes', 'kubectl'), tools.program('istio', 'istioctl')]
  const kubectl = createKubectl(programs[0] as string)
  const pods = await kubectl.list('pods', '--all-namespaces')
  const doors = DOOR_NAMES.map((name) => `  ${name.padEnd(11)} ${urlOf(lab, name)}`)
  const namespaces = Map.groupBy(pods, ({ metadata }) => String(metadata.namespace))
  const lines = [...namespaces].map(
    ([namespace, all]) => `  ${namespace.padEnd(18)} ${all.map(describe).join(', ')}`,
  )
  say(`The lab is up: process ${lab.pid}.

Doors on this machine:
${doors.join('\n')}

kubectl and istioctl, for your shell:
  export KUBECONFIG=${KUBECONFIG} PATH=${programs.map(dirname).join(':')}:$PATH

Pods (ready/all containers):
${lines.join('\n')}`)
}

function describe({ metadata, status, spec }: KubernetesObject): string {
  if (status.phase === 'Succeeded') return `${metadata.name} done`
  const containers = [
    ...(status.containerStatuses ?? []),
    // A native sidecar is an init container that stays.
    ...(status.initContainerStatuses ?? []).filter((each: { name: string }) =>
      spec.initContainers.some(
        (one: { name: string; restartPolicy?: string }) =>
          one.name === each.name && one.restartPolicy === 'Always',
      ),
    ),
  ]
  const ready = containers.filter((each) => each.ready).length
  return `${metadata.name} ${ready}/${containers.length}`
}
