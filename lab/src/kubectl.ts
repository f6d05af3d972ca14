/** kubectl against the lab, with the lab's own kubeconfig. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseAllDocuments } from 'yaml'
import { LabError, run } from './command.ts'
import { type Lab, STATE_DIR, urlOf } from './lab.ts'

export const KUBECONFIG = join(STATE_DIR, 'kubeconfig')

/** For the user's own kubectl, too: everything it needs is inside. */
export function writeKubeconfig(lab: Lab): void {
  const base64 = (file: string): string =>
    readFileSync(join(STATE_DIR, 'pki', file)).toString('base64')
  const name = 'order-management-lab'
  const cluster = {
    server: urlOf(lab, 'kubernetes'),
    'certificate-authority-data': base64('ca.crt'),
  }
  const user = {
    'client-certificate-data': base64('admin.crt'),
    'client-key-data': base64('admin.key'),
  }
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster }],
    users: [{ name, user }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    'current-context': name,
  }
  writeFileSync(KUBECONFIG, JSON.stringify(config, undefined, 2), { mode: 0o600 })
}

/** A Kubernetes object as the API gives it. */
export interface KubernetesObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly uid?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
    readonly generation?: number
    readonly deletionTimestamp?: string
  }
  // biome-ignore lint/suspicious/noExplicitAny: its shape depends on its kind
  readonly [field: string]: any
}

/** @param text YAML documents. */
export function parseObjects(text: string): readonly KubernetesObject[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as KubernetesObject | null)
    .filter((object) => object !== null)
}

export interface Kubectl {
  (...args: readonly string[]): Promise<string>
  /** Server-side; all of `objects` or an error. */
  apply(objects: readonly object[], ...flags: readonly string[]): Promise<void>
  /** Without waiting for what the objects own; those that are gone already do not count. */
  remove(objects: readonly object[]): Promise<void>
  list(...args: readonly string[]): Promise<readonly KubernetesObject[]>
  /**
   * Waits until every Deployment, StatefulSet, DaemonSet and Job of `namespace` has what it wants.
   * @throws LabError naming the pods that are not, why, and the log to read.
   */
  untilRolledOut(namespace: string, withinMs: number): Promise<void>
}

export function createKubectl(program: string): Kubectl {
  const kubectl = (...args: readonly string[]) =>
    run(program, ['--kubeconfig', KUBECONFIG, ...args])

  const withObjects = (objects: readonly object[], ...args: readonly string[]) => {
    const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects })
    return run(program, ['--kubeconfig', KUBECONFIG, ...args, '-f', '-'], { input })
  }

  async function apply(objects: readonly object[], ...flags: readonly string[]): Promise<void> {
    await withObjects(objects, 'apply', '--server-side', '--force-conflicts', ...flags)
  }

  async function remove(objects: readonly object[]): Promise<void> {
    await withObjects(objects, 'delete', '--ignore-not-found', '--wait=false')
  }

  async function list(...args: readonly string[]): Promise<readonly KubernetesObject[]> {
    return JSON.parse(await kubectl('get', ...args, '-o', 'json')).items
  }

  async function untilRolledOut(namespace: string, withinMs: number): Promise<void> {
    const until = performance.now() + withinMs
    for (;;) {
      const workloads = await list('deployments,statefulsets,daemonsets,jobs', '-n', namespace)
      const late = workloads.filter((workload) => !isRolledOut(workload))
      if (late.length === 0) return
      if (performance.now() > until) {
        const names = late.map(({ kind, metadata }) => `${kind} ${metadata.name}`).join(', ')
        throw new LabError(
          `${names} in ${namespace} did not get ready in ${withinMs / 1000} s.\n${await whyNot(namespace)}`,
        )
      }
      await pause(500)
    }
  }

  async function whyNot(namespace: string): Promise<string> {
    const pods = await list('pods', '-n', namespace)
    const sick = pods.flatMap((pod) =>
      reasonsOf(pod).map(
        (reason) =>
          `  ${pod.metadata.name}: ${reason}\n    pnpm lab logs ${pod.metadata.name} · pnpm lab kubectl -n ${namespace} describe pod ${pod.metadata.name}`,
      ),
    )
    if (sick.length > 0) return sick.join('\n')
    return `  Its events: pnpm lab kubectl -n ${namespace} get events`
  }

  return Object.assign(kubectl, { apply, remove, list, untilRolledOut })
}

/** As `kubectl rollout status` sees it. */
export function isRolledOut({ kind, metadata, spec, status = {} }: KubernetesObject): boolean {
  const observed = status.observedGeneration === metadata.generation
  if (kind === 'Job') return (status.succeeded ?? 0) >= (spec.completions ?? 1)
  if (kind === 'DaemonSet')
    return (
      observed &&
      status.desiredNumberScheduled > 0 &&
      status.numberReady === status.desiredNumberScheduled &&
      (status.updatedNumberScheduled ?? 0) === status.desiredNumberScheduled
    )
  const wanted = spec.replicas ?? 1
  return (
    observed &&
    (status.updatedReplicas ?? 0) === wanted &&
    (status.readyReplicas ?? 0) === wanted &&
    (status.replicas ?? 0) === wanted
  )
}

function reasonsOf({ status, spec }: KubernetesObject): readonly string[] {
  if (status.phase === 'Succeeded') return []
  const unscheduled = (status.conditions ?? [])
    .filter(
      (each: { type: string; status: string }) =>
        each.type === 'PodScheduled' && each.status === 'False',
    )
    .map((each: { message: string }) => each.message)
  const containers = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])]
  const waiting = containers
    .filter((each) => !each.ready && each.state.terminated?.exitCode !== 0)
    .map(({ name, state, lastState }) => {
      const { reason = 'is not ready', message = '' } =
        state.waiting ?? state.terminated ?? lastState?.terminated ?? {}
      return `${name} ${reason} ${message}`.trim()
    })
  if (unscheduled.length + waiting.length > 0) return [...unscheduled, ...waiting]
  return containers.length === 0 ? [`no container yet on ${spec.nodeName ?? 'no node'}`] : []
}
