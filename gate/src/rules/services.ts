/** G4: each service is whole: named ports, pods, an account of its own, budget, scaler, limits, rows, migration. */
import { AUTHZ_MATRIX, ORDER_MANAGEMENT } from '@oms/e2e/authz-matrix'
import type { KubernetesObject } from '@oms/lab/kubectl'
import { parse } from 'yaml'
import type { ManifestSet } from '../manifests.ts'
import { findObject, idOf, ofKind, type Pods, podsOf, podsSelected, selects } from '../objects.ts'
import { inSets, type Rule } from '../rule.ts'

/** Whose pods are in the mesh. */
const INJECTED = [ORDER_MANAGEMENT, 'jaeger'] as const
const GATEWAYS = ['istio-ingress', 'istio-egress'] as const

function meshPods(set: ManifestSet): readonly Pods[] {
  const namespaces: readonly string[] = [...INJECTED, ...GATEWAYS]
  return podsOf(set).filter(({ namespace }) => namespaces.includes(namespace))
}

function servicesOf(set: ManifestSet): readonly KubernetesObject[] {
  return ofKind(set, 'Service').filter(({ spec }) => spec.selector !== undefined)
}

/** The product's own: the port `http` of its namespace. */
function applicationsOf(set: ManifestSet): readonly KubernetesObject[] {
  return servicesOf(set).filter(
    ({ metadata, spec }) =>
      metadata.namespace === ORDER_MANAGEMENT &&
      spec.ports.some(({ port }: { port: number }) => port === 8080),
  )
}

function selectedBy(set: ManifestSet, { metadata, spec }: KubernetesObject): readonly Pods[] {
  return podsSelected(podsOf(set), metadata.namespace, { matchLabels: spec.selector })
}

/** How many there are at least. */
function replicasOf(set: ManifestSet, { owner }: Pods): number {
  return scalersOf(set, owner)[0]?.['spec'].minReplicas ?? owner['spec'].replicas ?? 1
}

function scalersOf(
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

function budgetsOf(set: ManifestSet, pods: Pods): readonly KubernetesObject[] {
  return ofKind(set, 'PodDisruptionBudget').filter(
    ({ metadata, spec }) =>
      metadata.namespace === pods.namespace && selects(spec.selector, pods.labels),
  )
}

const longRunning = ({ owner }: Pods): boolean => owner.kind !== 'Job'

interface SecretVolume {
  readonly secret?: { readonly secretName: string }
  readonly projected?: {
    readonly sources: readonly { readonly secret?: { readonly name: string } }[]
  }
}

function secretsOf({ spec }: Pods): readonly string[] {
  const volumes: readonly SecretVolume[] = spec.volumes ?? []
  return volumes.flatMap(({ secret, projected }) => [
    ...(secret === undefined ? [] : [secret.secretName]),
    ...(projected?.sources ?? []).flatMap((source) =>
      source.secret === undefined ? [] : [source.secret.name],
    ),
  ])
}

function proxyConfigOf({ annotations }: Pods): { proxyMetadata?: Record<string, string> } {
  return parse(annotations['proxy.istio.io/config'] ?? '{}')
}

export const serviceRules: readonly Rule[] = [
  inSets({
    gate: 'G4',
    name: 'every port of a Service says its protocol by its name',
    why: 'A port that does not is guessed at, and over mTLS taken for TCP: no retry, no timeout, no rule by path, no trace.',
    mend: 'Name it http, https or tcp-…; the applications’ own port 8080 is called http.',
    subjects: (set) =>
      servicesOf(set).flatMap((service) =>
        service['spec'].ports.map((port: { name?: string; port: number }) => ({ service, port })),
      ),
    wrong: ({ service, port: { name = '', port } }) =>
      /^(http|https|tcp|tls|grpc)(-|$)/.test(name) && (port !== 8080 || name === 'http')
        ? []
        : [`${idOf(service)}: the port ${port} is named ${JSON.stringify(name)}`],
  }),
  inSets({
    gate: 'G4',
    name: 'every Service has pods that listen on its ports',
    why: 'A selector or a targetPort with a typo is accepted by everyone and gives a Service without endpoints: 503 UH.',
    mend: 'Write the pods’ own label and the name of a port of their containers.',
    subjects: servicesOf,
    wrong(service, set) {
      const pods = selectedBy(set, service)
      if (pods.length === 0)
        return [
          `${idOf(service)}: spec.selector ${JSON.stringify(service['spec'].selector)} selects no pods`,
        ]
      return service['spec'].ports.flatMap(({ port, targetPort = port }: Record<string, number>) =>
        pods.some(({ spec }) =>
          spec.containers.some(({ ports = [] }) =>
            ports.some(
              (each: { name: string; containerPort: number }) =>
                each.name === (targetPort as unknown) || each.containerPort === targetPort,
            ),
          ),
        )
          ? []
          : [`${idOf(service)}: no container has the port ${targetPort} of spec.ports`],
      )
    },
  }),
  inSets({
    gate: 'G4',
    name: 'every workload of the mesh runs as an account of its own',
    why: 'The ServiceAccount is the identity that authorization sees: whoever shares it may do what the other may.',
    mend: 'Give it a ServiceAccount of its own name and set serviceAccountName; only a canary shares its service’s.',
    subjects: meshPods,
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
          longRunning(each) &&
          longRunning(pods) &&
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
    name: 'every replicated workload has exactly one disruption budget',
    why: 'Without one, a drain of nodes may take all pods at once; with two for the same pods every eviction fails with 500.',
    mend: 'One PodDisruptionBudget, maxUnavailable 1, whose selector is the pods’ own label.',
    subjects: (set) => podsOf(set).filter(longRunning),
    wrong(pods, set) {
      const budgets = budgetsOf(set, pods)
      const least = replicasOf(set, pods) > 1 ? 1 : 0
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
    name: 'every application is behind a DestinationRule',
    why: 'Without one a caller has no limit, no ejection and Envoy’s connect timeout of 10 s.',
    mend: 'A DestinationRule for its host, or circuit-breaker-defaults for all of the namespace.',
    subjects: applicationsOf,
    wrong(service, set) {
      const host = `${service.metadata.name}.${service.metadata.namespace}.svc.cluster.local`
      const wildcard = `*.${service.metadata.namespace}.svc.cluster.local`
      return ofKind(set, 'DestinationRule').some(({ spec }) => [host, wildcard].includes(spec.host))
        ? []
        : [`${idOf(service)}: no DestinationRule has the host ${host} or ${wildcard}`]
    },
  }),
  inSets({
    gate: 'G4',
    name: 'every Service of the namespace has a row in the authorization matrix',
    why: 'deny-all refuses whatever nobody allows: a new service without a row answers 403 to everyone.',
    mend: 'Add its callers to e2e/authz-matrix.ts, the same to istio-config/ and to apps/networkpolicies.yaml.',
    subjects: (set) =>
      servicesOf(set).filter(({ metadata }) => metadata.namespace === ORDER_MANAGEMENT),
    wrong: (service) =>
      AUTHZ_MATRIX.some(
        ({ callee, namespace }) =>
          namespace === service.metadata.namespace &&
          callee !== undefined &&
          selects({ matchLabels: callee }, service['spec'].selector),
      )
        ? []
        : [`${idOf(service)}: no row of e2e/authz-matrix.ts has its pods as callee`],
  }),
  inSets({
    gate: 'G4',
    name: 'every application has a migration Job with an account of its own',
    why: 'Whoever may change the schema must not be whoever answers requests: its Secret is the Job’s alone.',
    mend: 'A Job <service>-migrate with the ServiceAccount <service>-migrate and the Secret <service>-database-owner.',
    subjects: applicationsOf,
    wrong({ metadata: { name, namespace } }, set) {
      const id = `Job ${namespace}/${name}-migrate`
      const job = podsOf(set).find((pods) => pods.id === id)
      if (job === undefined) return [`${id} is not there`]
      const secret = `${name}-database-owner`
      return [
        ...(job.account === `${name}-migrate`
          ? []
          : [`${id}: serviceAccountName is ${job.account}, not ${name}-migrate`]),
        ...(secretsOf(job).includes(secret)
          ? []
          : [`${id}: it does not mount the Secret ${secret}`]),
      ]
    },
  }),
  inSets({
    gate: 'G4',
    name: 'the credential that may change a schema has one holder',
    why: 'A service that can read it can drop its own tables, and so can whoever breaks into the service.',
    mend: 'Mount …-database-owner in its migration Job alone; postgres reads it to set the password.',
    subjects: podsOf,
    wrong: (pods) =>
      secretsOf(pods)
        .filter((secret) => secret.endsWith('-database-owner'))
        .filter((secret) => {
          const holders = [secret.replace(/-database-owner$/, '-migrate'), 'postgres']
          return !holders.includes(pods.owner.metadata.name)
        })
        .map((secret) => `${pods.id}: it mounts the Secret ${secret}`),
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
      return (INJECTED as readonly string[]).includes(name) && injection !== 'enabled'
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
    name: 'every gateway pod is made by injection and may read its certificates',
    why: 'istiod gives a gateway only the Secrets that the gateway’s own account may read: without the Role no TLS, only resets.',
    mend: 'Label sidecar.istio.io/inject: "true", annotation inject.istio.io/templates: gateway, and a Role on secrets (get, list, watch) bound to its account.',
    subjects: (set) =>
      meshPods(set).filter(({ namespace }) => (GATEWAYS as readonly string[]).includes(namespace)),
    wrong({ id, namespace, labels, annotations, account }, set) {
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
        ...(reads ? [] : [`${id}: no Role lets ${account} read secrets of ${namespace}`]),
      ]
    },
  }),
  inSets({
    gate: 'G4',
    name: 'every application says how it is scraped, probed and named in traces',
    why: 'Prometheus finds pods by their annotations alone; the tag service_type comes from the proxy’s environment, and without it every span says "other".',
    mend: 'As in apps/payment-service.yaml: prometheus.io/{scrape,port,path}, OMS_SERVICE_TYPE in proxy.istio.io/config, startup and readiness on /ready, liveness on /health.',
    subjects: (set) => applicationsOf(set).flatMap((service) => selectedBy(set, service)),
    wrong(pods) {
      const { id, annotations, spec } = pods
      const [{ startupProbe, readinessProbe, livenessProbe }] = spec.containers
      const wanted = {
        'prometheus.io/scrape': [annotations['prometheus.io/scrape'], 'true'],
        'prometheus.io/port': [annotations['prometheus.io/port'], '8080'],
        'prometheus.io/path': [annotations['prometheus.io/path'], '/metrics'],
        'startupProbe.httpGet.path': [startupProbe?.httpGet?.path, '/ready'],
        'readinessProbe.httpGet.path': [readinessProbe?.httpGet?.path, '/ready'],
        'livenessProbe.httpGet.path': [livenessProbe?.httpGet?.path, '/health'],
      }
      const type = proxyConfigOf(pods).proxyMetadata?.['OMS_SERVICE_TYPE']
      return [
        ...Object.entries(wanted)
          .filter(([, [is, must]]) => is !== must)
          .map(([key, [is, must]]) => `${id}: ${key} is ${is ?? 'missing'}, not ${must}`),
        ...(type === undefined ? [`${id}: proxy.istio.io/config has no OMS_SERVICE_TYPE`] : []),
      ]
    },
  }),
  inSets({
    gate: 'G4',
    name: 'no two workloads select the same pods',
    why: 'Two Deployments whose selectors overlap adopt and delete each other’s pods.',
    mend: 'Let each select app and version, as the canary does.',
    subjects: (set) => podsOf(set).filter(longRunning),
    wrong: (pods, set) =>
      podsOf(set)
        .filter(
          (other) =>
            longRunning(other) &&
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
    subjects: (set) => podsOf(set).filter(longRunning),
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
