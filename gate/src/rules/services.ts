/** G4: each service is whole: named ports, pods, limits, a row of the matrix, a migration of its own. */
import { AUTHZ_MATRIX, type AuthzRow, ORDER_MANAGEMENT } from '@oms/e2e/authz-matrix'
import type { KubernetesObject } from '@oms/lab/kubectl'
import type { ManifestSet } from '../manifests.ts'
import { proxyConfigOf } from '../mesh.ts'
import {
  hasDatabase,
  idOf,
  ofKind,
  type Pods,
  podsOf,
  podsSelected,
  secretsOf,
  selects,
} from '../objects.ts'
import { inSets, type Rule } from '../rule.ts'

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

/** Read by the proxies as HTTP, the sending of traces would be traced. */
const TCP_PORTS: readonly number[] = [4318, 5432, 9411]

function isNamed(name: string, port: number): boolean {
  if (port === 8080) return name === 'http'
  if (TCP_PORTS.includes(port)) return name.startsWith('tcp-')
  return /^(http|https|tcp|tls|grpc)(-|$)/.test(name)
}

function admitsToDatabase({ policy, callers }: AuthzRow, { namespace, account }: Pods): boolean {
  return (
    policy === 'allow-services-to-postgres' &&
    typeof callers === 'object' &&
    'principals' in callers &&
    callers.principals.includes(`cluster.local/ns/${namespace}/sa/${account}`)
  )
}

export const serviceRules: readonly Rule[] = [
  inSets({
    gate: 'G4',
    name: 'every port of a Service says its protocol by its name',
    why: 'A port that does not is guessed at, and over mTLS taken for TCP: no retry, no timeout, no rule by path, no trace.',
    mend: 'http for the applications’ 8080, tcp-… for PostgreSQL and for spans, else http-…, https, tcp-….',
    subjects: (set) =>
      servicesOf(set).flatMap((service) =>
        service['spec'].ports.map((port: { name?: string; port: number }) => ({ service, port })),
      ),
    wrong: ({ service, port: { name = '', port } }) =>
      isNamed(name, port)
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
        ...(job.spec.containers[0].args?.includes('migrate')
          ? []
          : [`${id}: its args do not say migrate`]),
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
    name: 'whoever has a database is admitted to it',
    why: 'deny-all also closes port 5432: a pod whose account has no row never gets ready, and its log says "connection reset".',
    mend: 'Its principal in the row allow-services-to-postgres of e2e/authz-matrix.ts, and in the policy.',
    subjects: (set) => podsOf(set).filter(hasDatabase),
    wrong: (pods) =>
      AUTHZ_MATRIX.some((row) => admitsToDatabase(row, pods))
        ? []
        : [`${pods.id}: its account ${pods.account} has no row for postgres`],
  }),
]
