/** G13: what is for trying out never reaches production. */
import { kustomizationIn } from '../manifests.ts'
import {
  fieldsNamed,
  idOf,
  ofKind,
  podsOf,
  type Selector,
  selects,
  variablesOf,
} from '../objects.ts'
import { inSets, inTree, isProduction, type Rule } from '../rule.ts'
import { leastReplicas } from '../scale.ts'

/** Their folders below components/, by what they are for. */
const TEST_ONLY = [
  'app-faults',
  'fault-injection',
  'card-processor',
  'demo-catalogue',
  'local',
  'one-node',
  'istio-init',
] as const

/** A port where traces are read. */
const READER_PORT = '16686'

interface Constraint {
  readonly topologyKey: string
  readonly whenUnsatisfiable: string
  readonly labelSelector: Selector
}

export const productionRules: readonly Rule[] = [
  inTree({
    gate: 'G13',
    name: 'the production overlay uses no component for trying out',
    why: 'They switch off token keys, money, spread, or make services fail on request.',
    mend: 'Remove it from overlays/production.',
    subjects: ({ files }) =>
      [...files.keys()].filter((path) =>
        /^overlays\/production\/.*kustomization\.yaml$/.test(path),
      ),
    wrong(path, { files }) {
      const { components = [] } =
        kustomizationIn(files, path.replace('/kustomization.yaml', '')) ?? {}
      return components
        .filter((each) => TEST_ONLY.some((name) => each.split('/').includes(name)))
        .map((each) => ({ where: path, what: `components has ${each}` }))
    },
  }),
  inSets({
    gate: 'G13',
    name: 'no container of production loads a program of its own',
    why: 'NODE_OPTIONS can preload anything into a service: the door of app-faults.',
    mend: 'Remove the variable; the image has its own.',
    sets: isProduction,
    subjects: podsOf,
    wrong: (pods) =>
      variablesOf(pods)
        .filter(({ name }) => name === 'NODE_OPTIONS' || name.startsWith('APP_FAULTS'))
        .map(({ name }) => `${pods.id}: env has ${name}`),
  }),
  inSets({
    gate: 'G13',
    name: 'no route of production injects a fault',
    why: 'Whoever knows the header breaks payments; and a fault switches off the retries and timeouts of its route.',
    mend: 'Remove `fault`; proofs use the component fault-injection.',
    sets: isProduction,
    subjects: (set) => ofKind(set, 'VirtualService'),
    wrong: (service) =>
      fieldsNamed('fault', service['spec'], 'spec').map(
        ({ path }) => `${idOf(service)}: ${path} is there`,
      ),
  }),
  inSets({
    gate: 'G13',
    name: 'production has no simulator of a card processor',
    why: 'It answers everything with "captured", and no money moves.',
    mend: 'Remove the namespace card-processor and the endpoints of the ServiceEntry psp.',
    sets: isProduction,
    subjects: (set) => set.objects,
    wrong: (object) =>
      object.metadata.namespace === 'card-processor' ||
      object.metadata.name === 'card-processor' ||
      (object.kind === 'ServiceEntry' && object['spec'].endpoints !== undefined)
        ? [
            `${idOf(object)} is there${object.kind === 'ServiceEntry' ? ' with spec.endpoints' : ''}`,
          ]
        : [],
  }),
  inSets({
    gate: 'G13',
    name: 'production fetches its token keys',
    why: 'Keys that stand in a manifest cannot be rotated by who signs; those of a lab are known to everyone.',
    mend: 'jwksUri, and no jwks.',
    sets: isProduction,
    subjects: (set) => ofKind(set, 'RequestAuthentication'),
    wrong: (authentication) =>
      (authentication['spec'].jwtRules as readonly Record<string, unknown>[]).flatMap(
        (rule, index) => [
          ...(rule['jwks'] === undefined
            ? []
            : [`${idOf(authentication)}: spec.jwtRules[${index}].jwks is inline`]),
          ...(String(rule['jwksUri']).startsWith('https://')
            ? []
            : [
                `${idOf(authentication)}: spec.jwtRules[${index}].jwksUri is ${rule['jwksUri'] ?? 'missing'}`,
              ]),
        ],
      ),
  }),
  inSets({
    gate: 'G13',
    name: 'every container of production says so',
    why: 'With DEPLOYMENT=lab a service is less strict about what it is configured with.',
    mend: 'env DEPLOYMENT: production',
    sets: isProduction,
    subjects: (set) =>
      podsOf(set).flatMap((pods) =>
        variablesOf(pods)
          .filter(({ name }) => name === 'DEPLOYMENT')
          .map(({ value }) => ({ id: pods.id, value })),
      ),
    wrong: ({ id, value }) => (value === 'production' ? [] : [`${id}: env DEPLOYMENT is ${value}`]),
  }),
  inSets({
    gate: 'G13',
    name: 'at most one request in ten is traced',
    why: 'Each trace costs every hop and Jaeger; 100 % is for proofs.',
    mend: 'randomSamplingPercentage: 10 or less.',
    sets: isProduction,
    subjects: (set) =>
      ofKind(set, 'Telemetry').flatMap((telemetry) =>
        fieldsNamed('randomSamplingPercentage', telemetry['spec'], 'spec').map((field) => ({
          telemetry,
          field,
        })),
      ),
    wrong: ({ telemetry, field: { path, value } }) =>
      value <= 10 ? [] : [`${idOf(telemetry)}: ${path} is ${value}`],
  }),
  inSets({
    gate: 'G13',
    name: 'plain text is accepted on one port only',
    why: 'PERMISSIVE and DISABLE let anybody without a certificate in, and no log says so.',
    mend: `STRICT; portLevelMtls for ${READER_PORT} alone, where traces are read.`,
    sets: isProduction,
    subjects: (set) => ofKind(set, 'PeerAuthentication'),
    wrong: (authentication) =>
      fieldsNamed('mode', authentication['spec'], 'spec')
        .filter(
          ({ path, value }) =>
            value !== 'STRICT' &&
            !(path === `spec.portLevelMtls.${READER_PORT}.mode` && value === 'PERMISSIVE'),
        )
        .map(({ path, value }) => `${idOf(authentication)}: ${path} is ${value}`),
  }),
  inSets({
    gate: 'G13',
    name: 'production’s spread and numbers are for more than one node',
    why: 'ScheduleAnyway puts every pod on one node when it is the fullest; one pod is no redundancy.',
    mend: 'whenUnsatisfiable: DoNotSchedule; minReplicas and replicas of at least 2.',
    sets: isProduction,
    subjects: (set) =>
      podsOf(set).filter(({ spec }) => spec.topologySpreadConstraints !== undefined),
    wrong(pods, set) {
      const { id, spec, labels } = pods
      const least = leastReplicas(set, pods)
      const constraints = spec.topologySpreadConstraints as readonly Constraint[]
      return [
        ...constraints
          .filter(({ whenUnsatisfiable }) => whenUnsatisfiable !== 'DoNotSchedule')
          .map(() => `${id}: topologySpreadConstraints has ScheduleAnyway`),
        ...constraints
          .filter(({ topologyKey, labelSelector: { matchLabels = {} } }) => {
            const counts = Object.keys(matchLabels).length > 0 && selects({ matchLabels }, labels)
            return topologyKey !== 'kubernetes.io/hostname' || !counts
          })
          .map(() => `${id}: topologySpreadConstraints does not count its own pods on each node`),
        ...(least >= 2 ? [] : [`${id}: ${least} replica`]),
      ]
    },
  }),
  inSets({
    gate: 'G13',
    name: 'nobody patches the proxies of production by hand',
    why: 'An EnvoyFilter is written against the inside of one version of Istio; the lab has one, for its stock Envoy.',
    mend: 'Say it with an API of Istio, or leave it in the overlay of the lab.',
    sets: isProduction,
    subjects: (set) => set.objects,
    wrong: (object) => (object.kind === 'EnvoyFilter' ? [`${idOf(object)} is there`] : []),
  }),
]
