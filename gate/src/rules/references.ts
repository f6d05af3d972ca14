/** G7: selectors, identities, namespaces and providers are there, and what goes by namespace is said once. */
import type { KubernetesObject } from '@oms/lab/kubectl'
import { hostsOf } from '../hosts.ts'
import type { ManifestSet } from '../manifests.ts'
import {
  fieldsNamed,
  findObject,
  idOf,
  ofKind,
  type Pods,
  podsOf,
  podsSelected,
  type Selector,
} from '../objects.ts'
import { inSets, type Rule } from '../rule.ts'

const ROOT_NAMESPACE = 'istio-system'

/** Made by the control plane's charts, not by a manifest. */
const OUTSIDE: readonly Pick<Pods, 'namespace' | 'labels'>[] = [
  { namespace: 'istio-system', labels: { app: 'istiod', istio: 'pilot' } },
]

interface Selecting {
  readonly id: string
  readonly namespace: string | undefined
  readonly selector: Selector
}

/** Where each kind has its selector. */
const SELECTORS: Readonly<
  Record<string, (spec: KubernetesObject['spec']) => Selector | undefined>
> = {
  AuthorizationPolicy: ({ selector }) => selector,
  PeerAuthentication: ({ selector }) => selector,
  RequestAuthentication: ({ selector }) => selector,
  Telemetry: ({ selector }) => selector,
  Sidecar: ({ workloadSelector }) => workloadSelector && { matchLabels: workloadSelector.labels },
  Gateway: ({ selector }) => selector && { matchLabels: selector },
  NetworkPolicy: ({ podSelector }) => podSelector,
  PodDisruptionBudget: ({ selector }) => selector,
  Service: ({ selector }) => selector && { matchLabels: selector },
  Deployment: ({ selector }) => selector,
  StatefulSet: ({ selector }) => selector,
}

function selectingOf(set: ManifestSet): readonly Selecting[] {
  return Object.entries(SELECTORS).flatMap(([kind, selectorOf]) =>
    ofKind(set, kind).flatMap((object) => {
      const selector = selectorOf(object['spec'] ?? {})
      const { namespace } = object.metadata
      return selector === undefined ? [] : [{ id: idOf(object), namespace, selector }]
    }),
  )
}

/** Of resources that go by namespace where they have no selector, and of which the oldest wins. */
const ONE_EACH = ['Telemetry', 'Sidecar', 'PeerAuthentication'] as const

/** Istio's own, of Envoy's standard output. */
const BUILT_IN_PROVIDERS = ['envoy'] as const

function providersOf(set: ManifestSet): readonly { readonly name: string }[] {
  return findObject(set, 'Istio default')?.['spec'].values.meshConfig.extensionProviders ?? []
}

export const referenceRules: readonly Rule[] = [
  inSets({
    gate: 'G7',
    name: 'every selector selects pods of its namespace',
    why: 'A selector that selects nothing is accepted and guards nothing; an empty one selects everything.',
    mend: 'The pods’ own label, and the namespace where they run.',
    subjects: selectingOf,
    wrong({ id, namespace, selector }, set) {
      const { matchLabels = {}, matchExpressions = [] } = selector
      if (Object.keys(matchLabels).length === 0 && matchExpressions.length === 0)
        return id.startsWith('NetworkPolicy ') ? [] : [`${id}: its selector is empty`]
      return podsSelected([...podsOf(set), ...OUTSIDE], namespace, selector).length > 0
        ? []
        : [`${id}: its selector ${JSON.stringify(selector)} selects no pods in ${namespace}`]
    },
  }),
  inSets({
    gate: 'G7',
    name: 'every principal is an account that is there',
    why: 'A principal with a typo allows nobody, and the one that was meant gets 403.',
    mend: 'cluster.local/ns/<namespace>/sa/<ServiceAccount>',
    subjects: (set) =>
      ofKind(set, 'AuthorizationPolicy').flatMap((policy) =>
        fieldsNamed('principals', policy['spec'], 'spec').flatMap(({ path, value }) =>
          value.map((principal: string) => ({ policy, path, principal })),
        ),
      ),
    wrong({ policy, path, principal }, set) {
      const [, namespace, account] =
        /^cluster\.local\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(principal) ?? []
      return findObject(set, `ServiceAccount ${namespace}/${account}`) === undefined
        ? [`${idOf(policy)}: ${path} has ${principal}, which is no account`]
        : []
    },
  }),
  inSets({
    gate: 'G7',
    name: 'every issuer that a policy admits is one whose tokens are checked',
    why: 'A policy for another issuer than the RequestAuthentication’s answers 403 to every token that is good.',
    mend: 'The same issuer in both, followed by /* in the policy.',
    subjects: (set) =>
      ofKind(set, 'AuthorizationPolicy').flatMap((policy) =>
        fieldsNamed('requestPrincipals', policy['spec'], 'spec').map((field) => ({
          policy,
          ...field,
        })),
      ),
    wrong({ policy, path, value }, set) {
      const issuers = ofKind(set, 'RequestAuthentication')
        .filter(({ metadata }) => metadata.namespace === policy.metadata.namespace)
        .flatMap(({ spec }) => spec.jwtRules.map(({ issuer }: { issuer: string }) => `${issuer}/*`))
      return (value as readonly string[])
        .filter((each) => !issuers.includes(each))
        .map(
          (each) =>
            `${idOf(policy)}: ${path} has ${each}; tokens are checked for ${issuers.join() || 'nobody'}`,
        )
    },
  }),
  inSets({
    gate: 'G7',
    name: 'every namespace that a policy admits is there',
    why: 'A namespace with a typo admits nobody.',
    mend: 'The name of a Namespace of these manifests.',
    subjects: (set) =>
      ofKind(set, 'AuthorizationPolicy').flatMap((policy) =>
        fieldsNamed('namespaces', policy['spec'], 'spec').flatMap(({ path, value }) =>
          value.map((namespace: string) => ({ policy, path, namespace })),
        ),
      ),
    wrong: ({ policy, path, namespace }, set) =>
      findObject(set, `Namespace ${namespace}`) === undefined
        ? [`${idOf(policy)}: ${path} has ${namespace}, which is not there`]
        : [],
  }),
  inSets({
    gate: 'G7',
    name: 'every object stands in a namespace that is there',
    why: 'It is refused when it is applied, or waits for ever in Argo CD.',
    mend: 'Add the Namespace, or mend the name.',
    subjects: (set) => set.objects.filter(({ metadata }) => metadata.namespace !== undefined),
    wrong: (object, set) =>
      findObject(set, `Namespace ${object.metadata.namespace}`) === undefined
        ? [`${idOf(object)}: metadata.namespace is not there`]
        : [],
  }),
  inSets({
    gate: 'G7',
    name: 'every binding gives a role that is there to an account that is there',
    why: 'The API server accepts a binding to nothing; whoever needs the role is refused later, in its own log.',
    mend: 'The names of the role and of the ServiceAccount.',
    subjects: (set) => ofKind(set, 'RoleBinding', 'ClusterRoleBinding'),
    wrong(binding, set) {
      const { namespace } = binding.metadata
      const { kind, name } = binding['roleRef']
      const role = kind === 'Role' ? `Role ${namespace}/${name}` : `ClusterRole ${name}`
      const accounts = (binding['subjects'] as readonly { name: string; namespace: string }[]).map(
        (subject) => `ServiceAccount ${subject.namespace}/${subject.name}`,
      )
      return [role, ...accounts]
        .filter((id) => findObject(set, id) === undefined)
        .map((id) => `${idOf(binding)}: ${id} is not there`)
    },
  }),
  inSets({
    gate: 'G7',
    name: 'every provider that a Telemetry names is declared',
    why: 'The webhook accepts any name, and there are no traces, without a word.',
    mend: 'Its name in spec.values.meshConfig.extensionProviders of istio.yaml.',
    subjects: (set) =>
      ofKind(set, 'Telemetry').flatMap((telemetry) =>
        fieldsNamed('providers', telemetry['spec'], 'spec').flatMap(({ path, value }) =>
          value.map(({ name }: { name: string }) => ({ telemetry, path, name })),
        ),
      ),
    wrong({ telemetry, path, name }, set) {
      const known: readonly string[] = [
        ...BUILT_IN_PROVIDERS,
        ...providersOf(set).map((each) => each.name),
      ]
      return known.includes(name)
        ? []
        : [`${idOf(telemetry)}: ${path} has ${name}; there are ${known.join(', ')}`]
    },
  }),
  inSets({
    gate: 'G7',
    name: 'every provider is a Service that is there',
    why: 'istiod drops a provider whose Service it does not know: no traces, and only its log says so.',
    mend: 'The full name of the Service and one of its ports.',
    subjects: providersOf,
    wrong(provider, set) {
      const [{ service, port }] = Object.values(provider).filter(
        (value) => typeof value === 'object',
      ) as unknown as [{ service: string; port: number }]
      return hostsOf(set).get(service)?.includes(port) === true
        ? []
        : [`Istio default: the provider ${provider.name} is ${service}:${port}: no such port`]
    },
  }),
  inSets({
    gate: 'G7',
    name: 'of what goes by namespace there is one in each',
    why: 'Of two Telemetry, Sidecar or PeerAuthentication without a selector the older wins, and the newer is ignored.',
    mend: 'Merge them.',
    subjects: (set) =>
      ofKind(set, ...ONE_EACH).filter(({ spec }) => !spec.selector && !spec.workloadSelector),
    wrong: (object, set) =>
      ofKind(set, object.kind)
        .filter(
          ({ metadata, spec }) =>
            metadata.namespace === object.metadata.namespace &&
            metadata.name !== object.metadata.name &&
            !spec.selector &&
            !spec.workloadSelector,
        )
        .map((other) => `${idOf(object)}: ${idOf(other)} has no selector either`),
  }),
  inSets({
    gate: 'G7',
    name: 'what is for the whole mesh stands in the root namespace',
    why: 'In another namespace it holds for that one only.',
    mend: `metadata.namespace: ${ROOT_NAMESPACE}`,
    subjects: () => ['PeerAuthentication', 'AuthorizationPolicy', 'Telemetry'],
    wrong: (kind, set) =>
      ofKind(set, kind).some(
        ({ metadata, spec }) =>
          metadata.namespace === ROOT_NAMESPACE && spec?.selector === undefined,
      )
        ? []
        : [`no ${kind} without a selector stands in ${ROOT_NAMESPACE}`],
  }),
]
