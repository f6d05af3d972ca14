/** G4: how many pods there are, who says so, and how they come and go. */
import type { KubernetesObject } from '@oms/lab/kubectl'
import type { ManifestSet } from '../manifests.ts'
import { meshPods } from '../mesh.ts'
import { findObject, idOf, isLasting, ofKind, type Pods, podsOf, selects } from '../objects.ts'
import { inSets, type Rule } from '../rule.ts'
import { leastReplicas, scalersOf } from '../scale.ts'

function budgetsOf(set: ManifestSet, pods: Pods): readonly KubernetesObject[] {
  return ofKind(set, 'PodDisruptionBudget').filter(
    ({ metadata, spec }) =>
      metadata.namespace === pods.namespace && selects(spec.selector, pods.labels),
  )
}

interface Container {
  readonly name: string
  readonly resources?: { readonly requests?: { readonly cpu?: string } }
}

export const replicaRules: readonly Rule[] = [
  inSets({
    gate: 'G4',
    name: 'every replicated workload has exactly one disruption budget',
    why: 'Without one, a drain of nodes may take all pods at once; with two for the same pods every eviction fails with 500.',
    mend: 'One PodDisruptionBudget, maxUnavailable 1, whose selector is the pods’ own label.',
    subjects: (set) => podsOf(set).filter(isLasting),
    wrong(pods, set) {
      const budgets = budgetsOf(set, pods)
      const least = leastReplicas(set, pods) > 1 ? 1 : 0
      if (budgets.length >= least && budgets.length <= 1) return []
      const names = budgets.map(({ metadata }) => metadata.name).join(', ')
      return [
        `${pods.id}: ${budgets.length} PodDisruptionBudgets select its pods (${names || 'none'})`,
      ]
    },
  }),
  inSets({
    gate: 'G4',
    name: 'the number of pods has exactly one owner',
    why: 'Each apply of a Deployment that says replicas takes back what its HorizontalPodAutoscaler has scaled.',
    mend: 'Either spec.replicas or a HorizontalPodAutoscaler.',
    subjects: (set) => ofKind(set, 'Deployment'),
    wrong(deployment, set) {
      const scalers = scalersOf(set, deployment).length
      const owners = scalers + (deployment['spec'].replicas === undefined ? 0 : 1)
      return owners === 1
        ? []
        : [
            `${idOf(deployment)}: spec.replicas is ${deployment['spec'].replicas ?? 'missing'}, and ${scalers} HorizontalPodAutoscalers scale it`,
          ]
    },
  }),
  inSets({
    gate: 'G4',
    name: 'every HorizontalPodAutoscaler scales a workload that is there',
    why: 'One that does not says so only in its own status; the Deployment stays at one pod.',
    mend: 'Write the Deployment’s kind and name into spec.scaleTargetRef.',
    subjects: (set) => ofKind(set, 'HorizontalPodAutoscaler'),
    wrong(scaler, set) {
      const { kind, name } = scaler['spec'].scaleTargetRef
      return findObject(set, `${kind} ${scaler.metadata.namespace}/${name}`) === undefined
        ? [`${idOf(scaler)}: spec.scaleTargetRef ${kind} ${name} is not there`]
        : []
    },
  }),
  inSets({
    gate: 'G4',
    name: 'whatever is scaled by its CPU says how much it asks for',
    why: 'Utilization is a share of the request: without one the autoscaler knows nothing and never scales.',
    mend: 'resources.requests.cpu on every container.',
    subjects: (set) => podsOf(set).filter(({ owner }) => scalersOf(set, owner).length > 0),
    wrong: ({ id, spec }) =>
      (spec.containers as readonly Container[])
        .filter(({ resources }) => resources?.requests?.cpu === undefined)
        .map(({ name }) => `${id}: container ${name}: resources.requests.cpu is missing`),
  }),
  inSets({
    gate: 'G4',
    name: 'no two workloads select the same pods',
    why: 'Two Deployments whose selectors overlap adopt and delete each other’s pods.',
    mend: 'Let each select app and version, as the canary does.',
    subjects: (set) => podsOf(set).filter(isLasting),
    wrong: (pods, set) =>
      podsOf(set)
        .filter(
          (other) =>
            isLasting(other) &&
            other.id !== pods.id &&
            other.namespace === pods.namespace &&
            selects(pods.owner['spec'].selector, other.labels),
        )
        .map(({ id }) => `${pods.id}: spec.selector also selects the pods of ${id}`),
  }),
  inSets({
    gate: 'G4',
    name: 'every workload selects its own pods',
    why: 'The API server refuses one that does not, and the rollout ends half-way.',
    mend: 'Make spec.selector.matchLabels a part of spec.template.metadata.labels.',
    subjects: (set) => podsOf(set).filter(isLasting),
    wrong: ({ id, owner, labels }) =>
      selects(owner['spec'].selector, labels)
        ? []
        : [`${id}: spec.selector does not select its own template`],
  }),
  inSets({
    gate: 'G4',
    name: 'a rollout takes no pod away before its successor is ready',
    why: 'With maxUnavailable above 0 the mesh sends requests to fewer pods than the limits were made for.',
    mend: 'spec.strategy.rollingUpdate: {maxUnavailable: 0, maxSurge: 1}',
    subjects: (set) =>
      meshPods(set).filter(
        ({ owner }) => owner.kind === 'Deployment' && owner['spec'].strategy?.type !== 'Recreate',
      ),
    wrong({ id, owner }) {
      const { maxUnavailable, maxSurge } = owner['spec'].strategy?.rollingUpdate ?? {}
      return maxUnavailable === 0 && maxSurge === 1
        ? []
        : [
            `${id}: spec.strategy.rollingUpdate has maxUnavailable ${maxUnavailable}, maxSurge ${maxSurge}`,
          ]
    },
  }),
]
