/** G12: Argo CD deploys what is there, in waves, without a loop, and takes nothing back that it should leave. */
import { ORDER_MANAGEMENT } from '@oms/e2e/authz-matrix'
import type { KubernetesObject } from '@oms/lab/kubectl'
import { objectsIn } from '../files.ts'
import { BASE, kustomizationsOf, type Tree } from '../manifests.ts'
import { differences, findObject, idOf, ofKind } from '../objects.ts'
import { inSets, inTree, type Rule } from '../rule.ts'

/** Application → wave. */
const WAVES: Readonly<Record<string, string>> = {
  'sail-operator': '0',
  'istio-control-plane': '1',
  observability: '2',
  'istio-config': '3',
  'order-management': '4',
}

const WAVE = 'argocd.argoproj.io/sync-wave'

interface Placed {
  readonly path: string
  readonly application: KubernetesObject
}

function applicationsOf({ files }: Tree): readonly Placed[] {
  return [...files].flatMap(([path, file]) =>
    ofKind({ objects: objectsIn(file) }, 'Application').map((application) => ({
      path,
      application,
    })),
  )
}

function meshOf(tree: Tree): readonly Placed[] {
  return applicationsOf(tree).filter(
    ({ application }) => application.metadata.name === 'istio-config',
  )
}

export const argoRules: readonly Rule[] = [
  inTree({
    gate: 'G12',
    name: 'every Application deploys a folder that is there',
    why: 'A path with a typo shows only in Argo CD, as "app path does not exist".',
    mend: 'spec.source.path: k8s/overlays/production/<layer>',
    subjects: (tree) =>
      applicationsOf(tree).filter(
        ({ application }) => application['spec'].source.chart === undefined,
      ),
    wrong({ path, application }, { files }) {
      const folder: string = application['spec'].source.path
      return folder.startsWith('k8s/overlays/production/') &&
        files.has(`${folder.slice('k8s/'.length)}/kustomization.yaml`)
        ? []
        : [
            {
              where: path,
              what: `${idOf(application)}: spec.source.path is ${folder}, no folder of the production overlay`,
            },
          ]
    },
  }),
  inTree({
    gate: 'G12',
    name: 'the waves are in order, and every one is there',
    why: 'Policies before the CRDs are refused; services before the policies are open to everyone for a while.',
    mend: `The annotation ${WAVE}: ${Object.entries(WAVES)
      .map(([name, wave]) => `${name} ${wave}`)
      .join(', ')}.`,
    subjects: () => Object.entries(WAVES),
    wrong([name, wave], tree) {
      const found = applicationsOf(tree).find(
        ({ application }) => application.metadata.name === name,
      )
      if (found === undefined)
        return [{ where: 'application.yaml', what: `Application ${name} is not there` }]
      const { annotations = {} } = found.application.metadata as {
        annotations?: Record<string, string>
      }
      return annotations[WAVE] === wave
        ? []
        : [
            {
              where: found.path,
              what: `${idOf(found.application)}: ${WAVE} is ${annotations[WAVE] ?? 'missing'}, not ${wave}`,
            },
          ]
    },
  }),
  inTree({
    gate: 'G12',
    name: 'no kustomization lists an Application',
    why: 'An Application that deploys itself syncs for ever, and prunes itself when the list is wrong.',
    mend: 'Remove it from resources; it is applied to Argo CD by itself.',
    subjects: ({ files }) => [...kustomizationsOf(files)],
    wrong: ([folder, { resources = [] }]) =>
      resources
        .filter((each) => each.endsWith('application.yaml'))
        .map((each) => ({ where: `${folder}/kustomization.yaml`, what: `resources has ${each}` })),
  }),
  inTree({
    gate: 'G12',
    name: 'no Application takes its resources with it',
    why: 'With resources-finalizer a deleted Application deletes deny-all: the mesh is open, or gone.',
    mend: 'Remove metadata.finalizers.',
    subjects: applicationsOf,
    wrong({ path, application }) {
      const { finalizers } = application.metadata as { finalizers?: unknown }
      return finalizers === undefined
        ? []
        : [
            {
              where: path,
              what: `${idOf(application)}: metadata.finalizers is ${JSON.stringify(finalizers)}`,
            },
          ]
    },
  }),
  inTree({
    gate: 'G12',
    name: 'Argo CD leaves the canary’s weights, and nothing else of the routes, to the rollout',
    why: 'Without it the next sync takes the weights back in the middle of a rollout; a wider path hides every other change of the routes.',
    mend: 'ignoreDifferences of VirtualService order-service-canary: jqPathExpressions [.spec.http[].route[].weight], with RespectIgnoreDifferences=true.',
    subjects: meshOf,
    wrong({ path, application: { spec } }, tree) {
      const wanted = [
        {
          group: 'networking.istio.io',
          kind: 'VirtualService',
          name: 'order-service-canary',
          namespace: ORDER_MANAGEMENT,
          jqPathExpressions: ['.spec.http[].route[].weight'],
        },
      ]
      const id = `VirtualService ${ORDER_MANAGEMENT}/order-service-canary`
      const base = tree.sets.find(({ name }) => name === BASE)
      return [
        ...differences('spec.ignoreDifferences', spec.ignoreDifferences, wanted),
        ...(base !== undefined && findObject(base, id) === undefined ? [`${id} is not there`] : []),
      ].map((what) => ({ where: path, what: `Application istio-config: ${what}` }))
    },
  }),
  inTree({
    gate: 'G12',
    name: 'every Application heals itself, makes its namespace and waits for no CRD',
    why: 'In wave 3 the namespace of wave 4 is not there yet: without CreateNamespace the sync waits for ever; without SkipDryRunOnMissingResource it fails on kinds that an earlier wave brings.',
    mend: 'automated {prune, selfHeal} and syncOptions CreateNamespace, ServerSideApply, SkipDryRunOnMissingResource =true.',
    subjects: applicationsOf,
    wrong({ path, application }) {
      const { syncOptions = [], automated } = application['spec'].syncPolicy ?? {}
      const lacking = ['CreateNamespace', 'ServerSideApply', 'SkipDryRunOnMissingResource']
        .filter((option) => !syncOptions.includes(`${option}=true`))
        .map((option) => `spec.syncPolicy.syncOptions lacks ${option}=true`)
      return [
        ...lacking,
        ...differences('spec.syncPolicy.automated', automated, { prune: true, selfHeal: true }),
      ].map((what) => ({ where: path, what: `${idOf(application)}: ${what}` }))
    },
  }),
  inTree({
    gate: 'G12',
    name: 'the mesh’s Application makes the namespace of the services as it must be',
    why: 'Without the labels the first pods have no sidecar, and nothing makes them anew.',
    mend: 'The labels of apps/namespace.yaml in managedNamespaceMetadata, destination order-management, RespectIgnoreDifferences=true.',
    subjects: meshOf,
    wrong({ path, application: { spec } }, { sets }) {
      const { syncOptions = [], managedNamespaceMetadata } = spec.syncPolicy ?? {}
      const base = sets.find(({ name }) => name === BASE)
      const labels = base && findObject(base, `Namespace ${ORDER_MANAGEMENT}`)?.metadata.labels
      return [
        ...(syncOptions.includes('RespectIgnoreDifferences=true')
          ? []
          : ['spec.syncPolicy.syncOptions lacks RespectIgnoreDifferences=true']),
        ...differences('spec.destination.namespace', spec.destination.namespace, ORDER_MANAGEMENT),
        ...differences(
          'spec.syncPolicy.managedNamespaceMetadata.labels',
          managedNamespaceMetadata?.labels,
          labels,
        ),
      ].map((what) => ({ where: path, what: `Application istio-config: ${what}` }))
    },
  }),
  inSets({
    gate: 'G12',
    name: 'a migration Job is replaced, before the services come',
    why: 'A Job cannot be changed: the second release would fail to sync for ever.',
    mend: `argocd.argoproj.io/sync-options: Force=true,Replace=true and ${WAVE}: "-1"`,
    subjects: (set) =>
      ofKind(set, 'Job').filter(({ metadata }) => metadata.name.endsWith('-migrate')),
    wrong(job) {
      const { annotations = {} } = job.metadata as { annotations?: Record<string, string> }
      return [
        ...differences(
          'sync-options',
          annotations['argocd.argoproj.io/sync-options'],
          'Force=true,Replace=true',
        ),
        ...differences('sync-wave', annotations[WAVE], '-1'),
      ].map((what) => `${idOf(job)}: the annotation ${what}`)
    },
  }),
]
