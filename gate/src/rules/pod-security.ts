/** G11: pods fit the profile that their namespace enforces, as they are written and as they are after injection. */
import type { Tools } from '@oms/lab/tools'
import { injectAll } from '../inject.ts'
import { BASE, type ManifestSet, type Tree } from '../manifests.ts'
import { findObject, type Pods, podsOf } from '../objects.ts'
import { type Checked, inSets, type Rule } from '../rule.ts'

const ENFORCE = 'pod-security.kubernetes.io/enforce'

interface SecurityContext {
  readonly privileged?: boolean
  readonly allowPrivilegeEscalation?: boolean
  readonly runAsNonRoot?: boolean
  readonly readOnlyRootFilesystem?: boolean
  readonly runAsUser?: number
  readonly seccompProfile?: { readonly type: string }
  readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] }
}

interface Container {
  readonly name: string
  readonly securityContext?: SecurityContext
  readonly ports?: readonly { readonly hostPort?: number }[]
}

/** What `restricted` admits; the rest would be of the node. */
const VOLUMES = [
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
]

/** What Pod Security's profile `restricted` refuses of a pod. https://kubernetes.io/docs/concepts/security/pod-security-standards */
// biome-ignore lint/suspicious/noExplicitAny: a PodSpec
function refusedByRestricted(spec: any): readonly string[] {
  const pod: SecurityContext = spec.securityContext ?? {}
  const containers: readonly Container[] = [...(spec.initContainers ?? []), ...spec.containers]
  const volumes = ((spec.volumes ?? []) as readonly Readonly<Record<string, unknown>>[]).flatMap(
    ({ name, ...source }) =>
      Object.keys(source)
        .filter((kind) => !VOLUMES.includes(kind))
        .map((kind) => `volume ${name} is of kind ${kind}`),
  )
  const host = ['hostNetwork', 'hostPID', 'hostIPC']
    .filter((field) => spec[field] === true)
    .map((field) => `${field} is true`)
  return [...host, ...volumes, ...containers.flatMap((container) => refusedOf(container, pod))]
}

function refusedOf(
  { name, securityContext: own = {}, ports = [] }: Container,
  pod: SecurityContext,
): readonly string[] {
  const { runAsNonRoot, seccompProfile, runAsUser } = { ...pod, ...own }
  const { add = [], drop = [] } = own.capabilities ?? {}
  const added = add.filter((each) => each !== 'NET_BIND_SERVICE')
  return [
    ...(own.privileged === true ? ['securityContext.privileged is true'] : []),
    ...(own.allowPrivilegeEscalation === false
      ? []
      : ['securityContext.allowPrivilegeEscalation is not false']),
    ...(runAsNonRoot === true
      ? []
      : ['securityContext.runAsNonRoot is not true, here or for the pod']),
    ...(runAsUser === 0 ? ['securityContext.runAsUser is 0'] : []),
    ...(['RuntimeDefault', 'Localhost'].includes(seccompProfile?.type ?? '')
      ? []
      : ['securityContext.seccompProfile is missing, here and for the pod']),
    ...(drop.includes('ALL') ? [] : ['securityContext.capabilities.drop lacks ALL']),
    ...(added.length > 0 ? [`securityContext.capabilities.add has ${added.join()}`] : []),
    ...(ports.some(({ hostPort }) => hostPort !== undefined) ? ['ports has a hostPort'] : []),
  ].map((what) => `container ${name}: ${what}`)
}

function restrictedPods(set: ManifestSet): readonly Pods[] {
  return podsOf(set).filter(
    ({ namespace }) =>
      findObject(set, `Namespace ${namespace}`)?.metadata.labels?.[ENFORCE] === 'restricted',
  )
}

async function checkInjected({ sets }: Tree, tools: Tools): Promise<Checked> {
  const checked = await Promise.all(
    sets
      .filter(({ name }) => name === BASE)
      .map(async (set) => {
        const injected = podsOf({
          objects: await injectAll(
            restrictedPods(set).map(({ owner }) => owner),
            set,
            tools,
          ),
        })
        return injected.map(({ id, spec }) => {
          const names = [...(spec.initContainers ?? []), ...spec.containers].map(
            ({ name }: Container) => name,
          )
          const lacking = names.includes('istio-proxy')
            ? []
            : ['no container istio-proxy was put in']
          return [...lacking, ...refusedByRestricted(spec)].map((what) => ({
            where: set.name,
            what: `${id}, injected: ${what}`,
          }))
        })
      }),
  )
  return { subjects: checked.flat().length, wrong: checked.flat(2) }
}

export const podSecurityRules: readonly Rule[] = [
  inSets({
    gate: 'G11',
    name: 'every pod of the product fits `restricted` as it is written',
    why: 'The API server refuses the pods, not the Deployment: it is applied, and nothing starts.',
    mend: 'As in apps/payment-service.yaml: securityContext of the pod and of each container.',
    subjects: (set) => podsOf(set).filter(({ namespace }) => namespace !== 'istio-cni'),
    wrong: ({ id, spec }) => refusedByRestricted(spec).map((what) => `${id}: ${what}`),
  }),
  inSets({
    gate: 'G11',
    name: 'every pod says for itself what injected containers do not bring',
    why: 'istio-proxy has neither runAsNonRoot nor a seccomp profile of its own: said in a container alone, the injected pod is refused.',
    mend: 'spec.template.spec.securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}',
    subjects: (set) => podsOf(set).filter(({ namespace }) => namespace !== 'istio-cni'),
    wrong: ({ id, spec: { securityContext = {} } }) => [
      ...(securityContext.runAsNonRoot === true
        ? []
        : [`${id}: the pod’s securityContext.runAsNonRoot is not true`]),
      ...(securityContext.seccompProfile?.type === 'RuntimeDefault'
        ? []
        : [`${id}: the pod’s securityContext.seccompProfile is not RuntimeDefault`]),
    ],
  }),
  inSets({
    gate: 'G11',
    name: 'no container may write into its own image',
    why: 'Whoever breaks in leaves a program behind; `restricted` does not ask for this.',
    mend: 'securityContext.readOnlyRootFilesystem: true, and a volume for what is written.',
    subjects: (set) => podsOf(set).filter(({ namespace }) => namespace !== 'istio-cni'),
    wrong: ({ id, spec }) =>
      (spec.containers as readonly Container[])
        .filter(({ securityContext }) => securityContext?.readOnlyRootFilesystem !== true)
        .map(({ name }) => `${id}: container ${name}: readOnlyRootFilesystem is not true`),
  }),
  inSets({
    gate: 'G11',
    name: 'the namespaces enforce the profile that they can hold',
    why: 'Without the label nothing is enforced; the CNI plugin’s DaemonSet writes into the node and is refused by anything stricter.',
    mend: `${ENFORCE}: restricted on order-management, privileged on istio-cni.`,
    subjects: () =>
      [
        ['order-management', 'restricted'],
        ['istio-cni', 'privileged'],
      ] as const,
    wrong([name, profile], set) {
      const labels = findObject(set, `Namespace ${name}`)?.metadata.labels ?? {}
      return ['enforce', 'warn', 'audit']
        .map((mode) => `pod-security.kubernetes.io/${mode}`)
        .filter((label) => labels[label] !== profile)
        .map(
          (label) => `Namespace ${name}: ${label} is ${labels[label] ?? 'missing'}, not ${profile}`,
        )
    },
  }),
  {
    gate: 'G11',
    name: 'every pod of a restricted namespace fits it after injection',
    why: 'What istiod adds is checked by the API server like everything else, and only then.',
    mend: 'The pod-level securityContext, and spec.values.pilot.cni.enabled: true: istio-init needs NET_ADMIN.',
    run: checkInjected,
  },
]
