/** Schemas of what no tool of the lab has one for: the fields that ours use, and no other. */

export type Schema = Readonly<Record<string, unknown>>

export const TEXT: Schema = { type: 'string' }
const YES_NO: Schema = { type: 'boolean' }
const COUNT: Schema = { type: 'integer', minimum: 0 }
const TEXTS: Schema = { type: 'object', additionalProperties: TEXT }

/** Refuses every field that is not named. */
function closed(
  properties: Readonly<Record<string, Schema>>,
  required: readonly string[] = [],
): Schema {
  return { type: 'object', properties, required, additionalProperties: false }
}

function listOf(items: Schema): Schema {
  return { type: 'array', items }
}

function among(...values: readonly string[]): Schema {
  return { enum: values }
}

/** Of every object, also where a CustomResourceDefinition leaves it open. */
export const METADATA = closed(
  {
    name: TEXT,
    namespace: TEXT,
    labels: TEXTS,
    annotations: TEXTS,
    creationTimestamp: { type: 'null' },
  },
  ['name'],
)

function object(spec: Schema): Schema {
  return closed({ apiVersion: TEXT, kind: TEXT, metadata: METADATA, spec }, ['metadata', 'spec'])
}

/** Quantities; cpu, memory. */
const QUANTITIES = closed({ cpu: TEXT, memory: TEXT })
const RESOURCES = closed({ requests: QUANTITIES, limits: QUANTITIES })

const SPREAD = listOf(
  closed(
    {
      maxSkew: COUNT,
      topologyKey: TEXT,
      whenUnsatisfiable: among('DoNotSchedule', 'ScheduleAnyway'),
      labelSelector: closed({ matchLabels: TEXTS }, ['matchLabels']),
    },
    ['maxSkew', 'topologyKey', 'whenUnsatisfiable', 'labelSelector'],
  ),
)

const MESH_CONFIG = closed({
  accessLogEncoding: among('JSON', 'TEXT'),
  pathNormalization: closed({
    normalization: among('DEFAULT', 'NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES'),
  }),
  outboundTrafficPolicy: closed({ mode: among('REGISTRY_ONLY', 'ALLOW_ANY') }),
  extensionProviders: listOf(
    closed({
      name: TEXT,
      zipkin: closed({
        service: TEXT,
        port: COUNT,
        traceContextOption: among('USE_B3', 'USE_B3_WITH_W3C_PROPAGATION'),
      }),
    }),
  ),
  defaultConfig: closed({
    holdApplicationUntilProxyStarts: YES_NO,
    proxyMetadata: TEXTS,
    proxyStatsMatcher: closed({ inclusionRegexps: listOf(TEXT), inclusionPrefixes: listOf(TEXT) }),
  }),
})

const ISTIO = object(
  closed({
    version: TEXT,
    namespace: TEXT,
    values: closed({
      global: closed({
        defaultPodDisruptionBudget: closed({ enabled: YES_NO }),
        proxy: closed({ resources: RESOURCES }),
      }),
      pilot: closed({
        cni: closed({ enabled: YES_NO }),
        autoscaleMin: COUNT,
        resources: RESOURCES,
        topologySpreadConstraints: SPREAD,
        env: TEXTS,
      }),
      telemetry: closed({ enabled: YES_NO }),
      meshConfig: MESH_CONFIG,
    }),
  }),
)

const ISTIO_CNI = object(
  closed({
    version: TEXT,
    namespace: TEXT,
    values: closed({ cni: closed({ resources: RESOURCES }) }),
  }),
)

const APPLICATION = object(
  closed(
    {
      project: TEXT,
      source: closed({ repoURL: TEXT, targetRevision: TEXT, path: TEXT, chart: TEXT }, [
        'repoURL',
        'targetRevision',
      ]),
      destination: closed({ server: TEXT, namespace: TEXT }, ['server', 'namespace']),
      syncPolicy: closed({
        automated: closed({ prune: YES_NO, selfHeal: YES_NO }),
        syncOptions: listOf({ type: 'string', pattern: '^[A-Za-z]+=(true|false)$' }),
        managedNamespaceMetadata: closed({ labels: TEXTS, annotations: TEXTS }),
      }),
      ignoreDifferences: listOf(
        closed(
          { group: TEXT, kind: TEXT, name: TEXT, namespace: TEXT, jqPathExpressions: listOf(TEXT) },
          ['group', 'kind'],
        ),
      ),
    },
    ['project', 'source', 'destination'],
  ),
)

const KUSTOMIZATION = closed(
  {
    apiVersion: among('kustomize.config.k8s.io/v1beta1', 'kustomize.config.k8s.io/v1alpha1'),
    kind: among('Kustomization', 'Component'),
    resources: listOf(TEXT),
    components: listOf(TEXT),
    patches: listOf(
      closed({
        target: closed({ kind: TEXT, name: TEXT, labelSelector: TEXT }),
        path: TEXT,
        patch: TEXT,
      }),
    ),
    configMapGenerator: listOf(
      closed(
        {
          name: TEXT,
          namespace: TEXT,
          behavior: among('create', 'merge', 'replace'),
          files: listOf(TEXT),
          literals: listOf(TEXT),
          options: closed({ annotations: TEXTS, labels: TEXTS, disableNameSuffixHash: YES_NO }),
        },
        ['name', 'namespace'],
      ),
    ),
    labels: listOf(closed({ pairs: TEXTS })),
    images: listOf(closed({ name: TEXT, newName: TEXT, newTag: TEXT, digest: TEXT }, ['name'])),
  },
  ['apiVersion', 'kind'],
)

/** apiVersion/kind → schema. */
export const OWN_SCHEMAS: ReadonlyMap<string, Schema> = new Map([
  ['sailoperator.io/v1/Istio', ISTIO],
  ['sailoperator.io/v1/IstioCNI', ISTIO_CNI],
  ['argoproj.io/v1alpha1/Application', APPLICATION],
  ['kustomize.config.k8s.io/v1beta1/Kustomization', KUSTOMIZATION],
  ['kustomize.config.k8s.io/v1alpha1/Component', KUSTOMIZATION],
])
