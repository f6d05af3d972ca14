/** Two mutations of each leaf, made without a hand: it is removed, and it is another of its kind. */
import { type Files, type ManifestFile, objectsIn } from '../src/files.ts'
import type { Leaf } from '../src/leaves.ts'
import { idOf } from '../src/objects.ts'
import { removeAt, setAt, stepsOf } from '../src/pointers.ts'

export interface Mutation {
  readonly how: 'removed' | 'changed'
  readonly files: Files
}

/** Where a value is one of a few, another of the few. */
const OTHERS: Readonly<Record<string, string>> = {
  ALL: 'NET_RAW',
  ALLOW: 'DENY',
  DNS: 'STATIC',
  DoNotSchedule: 'ScheduleAnyway',
  Egress: 'Ingress',
  GET: 'PUT',
  HTTP: 'TCP',
  HTTPS: 'HTTP',
  Honor: 'Ignore',
  ISTIO_MUTUAL: 'SIMPLE',
  IfNotPresent: 'Always',
  In: 'NotIn',
  Ingress: 'Egress',
  JSON: 'TEXT',
  LEAST_REQUEST: 'ROUND_ROBIN',
  LoadBalancer: 'ClusterIP',
  MERGE_SLASHES: 'BASE',
  MESH_EXTERNAL: 'MESH_INTERNAL',
  PERMISSIVE: 'STRICT',
  POST: 'PUT',
  REGISTRY_ONLY: 'ALLOW_ANY',
  RuntimeDefault: 'Unconfined',
  SIMPLE: 'ISTIO_MUTUAL',
  STRICT: 'PERMISSIVE',
  TCP: 'SCTP',
  UDP: 'TCP',
  USE_B3_WITH_W3C_PROPAGATION: 'USE_B3',
  false: 'true',
  http: 'tcp',
  https: 'http',
  true: 'false',
}

/** What the API fills in by itself: without it the object is the same. */
const DEFAULTS: Readonly<Record<string, string>> = { action: 'ALLOW', protocol: 'TCP' }

/** What an empty object may become, by its key. */
const FULL: Readonly<Record<string, object>> = {
  podSelector: { matchLabels: { app: 'other' } },
  spec: { rules: [{}] },
}

export function mutationsOf(files: Files, leaf: Leaf): readonly Mutation[] {
  const change = (edit: (object: object) => object): Files => edited(files, leaf, edit)
  const other = otherOf(leaf)
  const changed = {
    how: 'changed',
    files: change((object) => setAt(object, leaf.pointer, other)),
  } as const
  if (isDefault(leaf)) return [changed]
  const removed = change((object) => removeAt(object, leaf.pointer))
  return [{ how: 'removed', files: removed }, changed]
}

function isDefault({ pointer, target, value }: Leaf): boolean {
  // An object without a spec has an empty one.
  if (pointer === '/spec') return true
  // The port of a Gateway or of a ServiceEntry has no default.
  const defaults = /^(AuthorizationPolicy|NetworkPolicy) /.test(target) ? DEFAULTS : {}
  return defaults[stepsOf(pointer).at(-1) as string] === value
}

/** Its text stays: no rule reads the text of a file of the mesh. */
function edited(files: Files, { manifest, target }: Leaf, edit: (object: object) => object): Files {
  const file = files.get(manifest) as ManifestFile
  const documents = objectsIn(file).map((each) => (idOf(each) === target ? edit(each) : each))
  return new Map([...files, [manifest, { ...file, documents }]])
}

function otherOf({ value, pointer }: Leaf): unknown {
  if (typeof value === 'boolean') return !value
  if (typeof value === 'number') return 2 * value + 1
  if (typeof value === 'string') return OTHERS[value] ?? otherText(value)
  return FULL[stepsOf(pointer).at(-1) as string] ?? { other: {} }
}

/** Twice the time or the quantity, another number, another name. */
function otherText(text: string): string {
  const [, amount, unit = ''] = /^(\d+)([A-Za-z]*)$/.exec(text) ?? []
  // An annotation that is YAML itself stays YAML.
  if (amount === undefined) return text.replace(/(\}*)$/, '-other$1')
  return `${2 * Number(amount) + (unit === '' ? 1 : 0)}${unit}`
}
