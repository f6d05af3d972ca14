/** Questions to objects of Kubernetes that more than one rule asks. */
import type { KubernetesObject } from '@oms/lab/kubectl'
import type { ManifestSet } from './manifests.ts'

export function idOf({ kind, metadata: { namespace, name } }: KubernetesObject): string {
  return namespace === undefined ? `${kind} ${name}` : `${kind} ${namespace}/${name}`
}

export function ofKind(
  { objects }: Pick<ManifestSet, 'objects'>,
  ...kinds: readonly string[]
): readonly KubernetesObject[] {
  return objects.filter(({ kind }) => kinds.includes(kind))
}

/** @param id as `idOf` gives it. */
export function findObject({ objects }: ManifestSet, id: string): KubernetesObject | undefined {
  return objects.find((object) => idOf(object) === id)
}

type Labels = Readonly<Record<string, string>>

/** What a workload makes pods of. */
export interface Pods {
  readonly id: string
  readonly owner: KubernetesObject
  readonly namespace: string
  readonly labels: Labels
  readonly annotations: Labels
  readonly account: string
  // biome-ignore lint/suspicious/noExplicitAny: a PodSpec
  readonly spec: any
}

const WORKLOADS = ['Deployment', 'StatefulSet', 'DaemonSet', 'Job'] as const

export function podsOf(set: Pick<ManifestSet, 'objects'>): readonly Pods[] {
  // Without a template G2 refuses it, and its Service has no pods.
  const whole = ofKind(set, ...WORKLOADS).filter(({ spec }) => spec?.template?.spec !== undefined)
  return whole.map((owner) => {
    const { metadata = {}, spec } = owner['spec'].template
    return {
      id: idOf(owner),
      owner,
      namespace: owner.metadata.namespace as string,
      labels: metadata.labels ?? {},
      annotations: metadata.annotations ?? {},
      account: spec.serviceAccountName ?? 'default',
      spec,
    }
  })
}

/** A LabelSelector of the Kubernetes API. */
export interface Selector {
  readonly matchLabels?: Labels
  readonly matchExpressions?: readonly {
    readonly key: string
    readonly operator: string
    readonly values?: readonly string[]
  }[]
}

/** An empty selector selects everything. */
export function selects(
  { matchLabels = {}, matchExpressions = [] }: Selector,
  labels: Labels,
): boolean {
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      const value = labels[key]
      if (operator === 'Exists') return value !== undefined
      if (operator === 'DoesNotExist') return value === undefined
      const among = value !== undefined && values.includes(value)
      return operator === 'In' ? among : !among
    })
  )
}

export function podsSelected<Each extends Pick<Pods, 'namespace' | 'labels'>>(
  pods: readonly Each[],
  namespace: string | undefined,
  selector: Selector,
): readonly Each[] {
  return pods.filter((each) => each.namespace === namespace && selects(selector, each.labels))
}

/** Not a Job, which ends. */
export function isLasting({ owner }: Pods): boolean {
  return owner.kind !== 'Job'
}

interface Variable {
  readonly name: string
  /** None where it comes from elsewhere. */
  readonly value?: string
}

/** What the environment of its containers says. */
export function variablesOf({ spec }: Pods): readonly Variable[] {
  const containers: readonly { readonly env?: readonly Variable[] }[] = [
    ...(spec.initContainers ?? []),
    ...spec.containers,
  ]
  return containers.flatMap(({ env = [] }) => env)
}

export function hasDatabase(pods: Pods): boolean {
  return variablesOf(pods).some(({ name }) => name === 'DATABASE_URL')
}

interface SecretVolume {
  readonly secret?: { readonly secretName: string }
  readonly projected?: {
    readonly sources: readonly { readonly secret?: { readonly name: string } }[]
  }
}

export function secretsOf({ spec }: Pods): readonly string[] {
  const volumes: readonly SecretVolume[] = spec.volumes ?? []
  return volumes.flatMap(({ secret, projected }) => [
    ...(secret === undefined ? [] : [secret.secretName]),
    ...(projected?.sources ?? []).flatMap((source) =>
      source.secret === undefined ? [] : [source.secret.name],
    ),
  ])
}

export interface Field {
  /** As `spec.http[0].retries`. */
  readonly path: string
  // biome-ignore lint/suspicious/noExplicitAny: whatever the field is
  readonly value: any
}

/** Every field of this name, at any depth. */
export function fieldsNamed(name: string, value: unknown, path = ''): readonly Field[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, inner]) => {
    const at = Array.isArray(value) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`
    const found = key === name && !Array.isArray(value) ? [{ path: at, value: inner }] : []
    return [...found, ...fieldsNamed(name, inner, at)]
  })
}

/** How `actual` is not `expected`, leaf by leaf: `path is 3, not 5`. A list of texts is one leaf. */
export function differences(path: string, actual: unknown, expected: unknown): readonly string[] {
  if (isBranch(actual) && isBranch(expected) && Array.isArray(actual) === Array.isArray(expected)) {
    const keys = new Set([...Object.keys(expected), ...Object.keys(actual)])
    return [...keys].flatMap((key) => {
      const inner = Array.isArray(actual) ? `${path}[${key}]` : `${path}.${key}`
      return differences(inner, actual[key], expected[key])
    })
  }
  if (JSON.stringify(actual) === JSON.stringify(expected)) return []
  if (actual === undefined) return [`${path} is missing, it must be ${JSON.stringify(expected)}`]
  if (expected === undefined) return [`${path} is ${JSON.stringify(actual)}, it must not be there`]
  return [`${path} is ${JSON.stringify(actual)}, not ${JSON.stringify(expected)}`]
}

function isBranch(value: unknown): value is Readonly<Record<string, unknown>> {
  if (Array.isArray(value)) return value.some(isBranch)
  return typeof value === 'object' && value !== null
}
