/** Pods of a workload, and what they write. */
import { isRolledOut } from '@oms/lab/kubectl'
import { type Api, type KubernetesObject, until } from './api.ts'

export async function podsOf(
  api: Api,
  namespace: string,
  selector: string,
): Promise<readonly KubernetesObject[]> {
  const query = new URLSearchParams({ labelSelector: selector })
  const pods = await api.list(`/api/v1/namespaces/${namespace}/pods?${query}`)
  return pods.filter(
    ({ metadata, status }) =>
      metadata.deletionTimestamp === undefined && status.phase === 'Running',
  )
}

export function isReady({ status }: KubernetesObject): boolean {
  const conditions: readonly { type: string; status: string }[] = status?.conditions ?? []
  return conditions.some(({ type, status: is }) => type === 'Ready' && is === 'True')
}

/** 90 s: a new pod takes five to nine where the machine is quiet. */
export const READY_WITHIN_MS = 90_000

/** `count` ready ones of the newest template, and none that leaves. @throws Error saying which are not. */
export async function untilRolledOut(
  api: Api,
  namespace: string,
  deployment: string,
  withinMs: number = READY_WITHIN_MS,
): Promise<void> {
  const path = `/apis/apps/v1/namespaces/${namespace}/deployments/${deployment}`
  await until(`${deployment} in ${namespace} rolled out`, withinMs, async () => {
    const object = await api.read(path)
    if (object === undefined) throw new Error(`There is no Deployment ${namespace}/${deployment}.`)
    if (!isRolledOut(object)) return undefined
    const { spec } = object
    // The Deployment does not count pods that are still serving their last requests.
    const labels = Object.entries(spec.selector.matchLabels as Record<string, string>)
    const selector = labels.map(([key, value]) => `${key}=${value}`).join(',')
    const query = new URLSearchParams({ labelSelector: selector })
    const pods = await api.list(`/api/v1/namespaces/${namespace}/pods?${query}`)
    return pods.length === (spec.replicas ?? 1) ? true : undefined
  })
}

/**
 * As `kubectl rollout restart` does it; nothing to take back: that would be one more rollout.
 * @param deployment its path.
 */
export async function restart(api: Api, deployment: string): Promise<void> {
  const { metadata } = (await api.read(deployment))?.['spec'].template ?? {}
  const annotations = {
    ...metadata?.annotations,
    'kubectl.kubernetes.io/restartedAt': new Date().toISOString(),
  }
  await api.patch(deployment, [
    { op: 'add', path: '/spec/template/metadata/annotations', value: annotations },
  ])
}

/** Lines of a container since `sinceMs` (of Date.now()), as JSON; others are left out. */
export async function logLines(
  api: Api,
  { metadata: { name, namespace } }: KubernetesObject,
  container: string,
  sinceMs: number,
): Promise<readonly Readonly<Record<string, unknown>>[]> {
  // Whole seconds only: one more than have gone.
  const sinceSeconds = Math.max(1, Math.ceil((Date.now() - sinceMs) / 1000) + 1)
  const text = await api.text(
    `/api/v1/namespaces/${namespace}/pods/${name}/log?container=${container}&sinceSeconds=${sinceSeconds}`,
  )
  return text.split('\n').flatMap((line) => {
    if (!line.startsWith('{')) return []
    try {
      return [JSON.parse(line) as Record<string, unknown>]
    } catch {
      return []
    }
  })
}
