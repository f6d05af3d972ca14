/** G4: every pod of the mesh has its proxy, and an identity that is its own. */
import { ORDER_MANAGEMENT } from '@oms/e2e/authz-matrix'
import { GATEWAYS, INJECTED, meshPods, proxyConfigOf } from '../mesh.ts'
import { findObject, idOf, isLasting, ofKind, podsOf } from '../objects.ts'
import { inSets, type Rule } from '../rule.ts'

export const injectionRules: readonly Rule[] = [
  inSets({
    gate: 'G4',
    name: 'every workload runs as an account of its own',
    why: 'The ServiceAccount is the identity that authorization sees: whoever shares it may do what the other may.',
    mend: 'Give it a ServiceAccount of its own name and set serviceAccountName; only a canary shares its service’s.',
    subjects: podsOf,
    wrong(pods, set) {
      const account = `ServiceAccount ${pods.namespace}/${pods.account}`
      if (pods.account === 'default')
        return [`${pods.id}: serviceAccountName is missing, it runs as default`]
      if (findObject(set, account) === undefined)
        return [
          `${pods.id}: serviceAccountName ${pods.account} is no ServiceAccount of ${pods.namespace}`,
        ]
      const others = podsOf(set).filter(
        (each) =>
          isLasting(each) &&
          isLasting(pods) &&
          each.namespace === pods.namespace &&
          each.account === pods.account &&
          each.labels['app'] !== pods.labels['app'],
      )
      return others.map(
        ({ id }) => `${pods.id}: serviceAccountName ${pods.account} is also that of ${id}`,
      )
    },
  }),
  inSets({
    gate: 'G4',
    name: 'every namespace of the mesh is injected, and by one label',
    why: 'Without a sidecar, mTLS falls back to plain text without a word; with both labels the older one wins and the revision is never used.',
    mend: 'The label istio-injection: enabled, and no istio.io/rev beside it.',
    subjects: (set) => ofKind(set, 'Namespace'),
    wrong(namespace) {
      const { name, labels = {} } = namespace.metadata
      const injection = labels['istio-injection']
      if (labels['istio.io/rev'] !== undefined)
        return [
          `${idOf(namespace)}: metadata.labels has istio.io/rev ${injection ? 'beside istio-injection' : ''}`,
        ]
      return INJECTED.includes(name) && injection !== 'enabled'
        ? [
            `${idOf(namespace)}: metadata.labels.istio-injection is ${injection ?? 'missing'}, not enabled`,
          ]
        : []
    },
  }),
  inSets({
    gate: 'G4',
    name: 'no pod of the mesh opts out of its sidecar, its probes or its metrics',
    why: 'These annotations take a pod out of mTLS, make the kubelet’s probes fail against it, or replace the statistics that mesh-wide settings promise.',
    mend: 'Remove it.',
    subjects: meshPods,
    wrong: ({ id, labels, annotations }) =>
      Object.entries({ ...labels, ...annotations })
        .filter(
          ([key, value]) =>
            (/^sidecar\.istio\.io\/(inject|rewriteAppHTTPProbers)$/.test(key) &&
              value !== 'true') ||
            (key === 'prometheus.istio.io/merge-metrics' && value !== 'true') ||
            /^sidecar\.istio\.io\/stats/.test(key) ||
            /^traffic\.sidecar\.istio\.io\/exclude/.test(key),
        )
        .map(([key, value]) => `${id}: ${key} is ${JSON.stringify(value)}`),
  }),
  inSets({
    gate: 'G4',
    name: 'a pod tells its proxy its kind, and nothing else',
    why: 'proxy.istio.io/config wins over the mesh’s settings: sampling, certificates and the time to drain would be that pod’s own.',
    mend: 'proxy.istio.io/config: "{proxyMetadata: {OMS_SERVICE_TYPE: …}}"; everything else in istio.yaml.',
    subjects: meshPods,
    wrong(pods) {
      const { proxyMetadata = {}, ...rest } = proxyConfigOf(pods)
      const others = Object.keys(proxyMetadata).filter((name) => name !== 'OMS_SERVICE_TYPE')
      return [...Object.keys(rest), ...others].map(
        (name) => `${pods.id}: proxy.istio.io/config has ${name}`,
      )
    },
  }),
  inSets({
    gate: 'G4',
    name: 'every gateway pod is made by injection and may read its certificates',
    why: 'istiod gives a gateway only the Secrets that the gateway’s own account may read: without the Role no TLS, only resets.',
    mend: 'Label sidecar.istio.io/inject: "true", annotation inject.istio.io/templates: gateway, image auto, OMS_SERVICE_TYPE: edge, and a Role on secrets (get, list, watch) bound to its account.',
    subjects: (set) => meshPods(set).filter(({ namespace }) => GATEWAYS.includes(namespace)),
    wrong(pods, set) {
      const { id, namespace, labels, annotations, account, spec } = pods
      const bound = ofKind(set, 'RoleBinding').filter(
        ({ metadata, subjects }) =>
          metadata.namespace === namespace &&
          subjects.some(({ name }: { name: string }) => name === account),
      )
      const roles = bound.map(({ roleRef }) => findObject(set, `Role ${namespace}/${roleRef.name}`))
      const reads = roles.some((role) =>
        role?.['rules'].some(
          ({ resources, verbs }: { resources: string[]; verbs: string[] }) =>
            resources.includes('secrets') &&
            ['get', 'list', 'watch'].every((verb) => verbs.includes(verb)),
        ),
      )
      return [
        ...(labels['sidecar.istio.io/inject'] === 'true'
          ? []
          : [`${id}: the label sidecar.istio.io/inject is missing`]),
        ...(annotations['inject.istio.io/templates'] === 'gateway'
          ? []
          : [`${id}: the annotation inject.istio.io/templates is not gateway`]),
        ...(spec.containers[0].image === 'auto' ? [] : [`${id}: its image is not auto`]),
        ...(proxyConfigOf(pods).proxyMetadata?.['OMS_SERVICE_TYPE'] === 'edge'
          ? []
          : [`${id}: OMS_SERVICE_TYPE in proxy.istio.io/config is not edge`]),
        ...(reads ? [] : [`${id}: no Role lets ${account} read secrets of ${namespace}`]),
      ]
    },
  }),
  inSets({
    gate: 'G4',
    name: 'no pod of the product has a key to the API server',
    why: 'The mesh has tokens of its own; one for the API server is only of use to whoever breaks in.',
    mend: 'automountServiceAccountToken: false',
    subjects: (set) =>
      podsOf(set).filter(({ namespace }) => [ORDER_MANAGEMENT, ...GATEWAYS].includes(namespace)),
    wrong: ({ id, spec }) =>
      spec.automountServiceAccountToken === false
        ? []
        : [`${id}: automountServiceAccountToken is not false`],
  }),
]
