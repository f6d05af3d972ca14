/** How many pods there are. */
import type { KubernetesObject } from '@oms/lab/kubectl'
import type { ManifestSet } from './manifests.ts'
import { ofKind, type Pods } from './objects.ts'

export function scalersOf(
  set: ManifestSet,
  { kind, metadata }: KubernetesObject,
): readonly KubernetesObject[] {
  return ofKind(set, 'HorizontalPodAutoscaler').filter(
    ({ metadata: { namespace }, spec: { scaleTargetRef } }) =>
      namespace === metadata.namespace &&
      scaleTargetRef.kind === kind &&
      scaleTargetRef.name === metadata.name,
  )
}

export function leastReplicas(set: ManifestSet, { owner }: Pods): number {
  return scalersOf(set, owner)[0]?.['spec'].minReplicas ?? owner['spec'].replicas ?? 1
}

/** With the one more that a rollout makes. */
export function mostReplicas(set: ManifestSet, { owner }: Pods): number {
  const surge = owner['spec'].strategy?.rollingUpdate?.maxSurge ?? 0
  return (scalersOf(set, owner)[0]?.['spec'].maxReplicas ?? owner['spec'].replicas ?? 1) + surge
}
