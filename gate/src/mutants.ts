/** Mutants that a cluster kills: one change of a manifest each, as e2e/mutants has them, one file a manifest. */
import { posix } from 'node:path'
import type { KubernetesObject } from '@oms/lab/kubectl'
import { type Files, objectsIn } from './files.ts'
import { idOf } from './objects.ts'
import { type Operation, patched, valueAt } from './pointers.ts'
import type { Wrong } from './rule.ts'
import { createValidators } from './schemas/validate.ts'

export const MUTANTS = 'e2e/mutants'

export interface Mutant {
  readonly id: string
  /** Of the target, below k8s/. */
  readonly manifest: string
  /** As `VirtualService order-management/payment-service-retry`. */
  readonly target: string
  /** None: the target is deleted. */
  readonly patch?: readonly Operation[]
  readonly via: 'live' | 'admission'
  /** Names of the proofs that must go red; none by way of admission. */
  readonly kills: readonly string[]
  /** Of admission: what the API server answers. */
  readonly says?: RegExp
  /** Pointers to what it removes or replaces in the manifest. */
  readonly touches: readonly string[]
}

/** A mutant as it is written. */
interface Written {
  readonly id: string
  readonly target: string
  readonly patch?: readonly Operation[]
  readonly delete?: true
  readonly via: Mutant['via']
  readonly kills?: readonly string[]
  readonly says?: string
}

const TEXT = { type: 'string', minLength: 1 }
const OPERATION = {
  type: 'object',
  properties: {
    op: { enum: ['add', 'remove', 'replace', 'test'] },
    path: { type: 'string', pattern: '^/' },
    value: {},
  },
  required: ['op', 'path'],
  additionalProperties: false,
}
const MUTANT = {
  type: 'object',
  properties: {
    id: { type: 'string', pattern: '^[a-z0-9]+(-[a-z0-9]+)*$' },
    target: TEXT,
    patch: { type: 'array', minItems: 1, items: OPERATION },
    delete: { const: true },
    via: { enum: ['live', 'admission'] },
    kills: { type: 'array', minItems: 1, uniqueItems: true, items: TEXT },
    says: TEXT,
  },
  required: ['id', 'target', 'via'],
  additionalProperties: false,
}

const validate = createValidators(new Map([['mutants', { type: 'array', items: MUTANT }]]))(
  'mutants',
)

interface Placed {
  readonly manifest: string
  readonly object: KubernetesObject
}

interface Found {
  readonly mutants: readonly Mutant[]
  readonly wrong: readonly Wrong[]
}

/**
 * @param files k8s/; a mutant's target stands in it, not in an overlay or a component.
 * @param written path → file with a list of mutants.
 */
export function mutantsIn(files: Files, written: Files): Found {
  const targets = targetsIn(files)
  const lists = [...written].map(([where, file]) => {
    const list = file.documents[0] ?? []
    const malformed = [...file.errors, ...(validate?.(list) ?? [])]
    const mutants = malformed.length > 0 ? [] : (list as readonly Written[])
    return { where, malformed, mutants }
  })
  const all = lists.flatMap(({ where, mutants }) => mutants.map((mutant) => ({ where, mutant })))
  const judged = all.map(({ where, mutant }) => {
    const placed = targets.get(mutant.target)
    const isTwice = all.some((other) => other.mutant !== mutant && other.mutant.id === mutant.id)
    const problems = [
      ...(isTwice ? ['another mutant has this id: give it its own'] : []),
      ...formOf(mutant),
      ...fitOf(mutant, placed, where),
    ]
    return { where, mutant, placed, problems }
  })
  return {
    mutants: judged.flatMap(({ mutant, placed, problems }) =>
      placed === undefined || problems.length > 0 ? [] : [mutantOf(mutant, placed)],
    ),
    wrong: [
      ...lists.flatMap(({ where, malformed }) =>
        malformed.map((what) => ({ where, what: `${where}: ${what}` })),
      ),
      ...judged.flatMap(({ where, mutant, problems }) =>
        problems.map((what) => ({ where, what: `the mutant ${mutant.id}: ${what}` })),
      ),
    ],
  }
}

/** Of the base, and of the example beside it. */
function targetsIn(files: Files): ReadonlyMap<string, Placed> {
  const base = [...files].filter(([path]) => !/^(components|overlays)\//.test(path))
  return new Map(
    base.flatMap(([manifest, file]) =>
      objectsIn(file).map((object) => [idOf(object), { manifest, object }] as const),
    ),
  )
}

/** What a schema cannot say, or only in riddles. */
function formOf({ patch, delete: isDeleted, via, kills, says }: Written): readonly string[] {
  return [
    ...((patch === undefined) === (isDeleted === undefined)
      ? ['it has either `patch` or `delete: true`']
      : []),
    ...(via === 'live' && (kills === undefined || says !== undefined)
      ? ['live, it has `kills`, the proofs that must go red, and no `says`']
      : []),
    ...(via === 'admission' && (says === undefined || kills !== undefined)
      ? ['by admission, it has `says`, what the API server answers, and no `kills`']
      : []),
    ...(patch ?? [])
      .filter(({ op, value }) => op !== 'remove' && value === undefined)
      .map(({ op, path }) => `${op} ${path} needs a value`),
    ...(says === undefined || isExpression(says) ? [] : [`says is no regular expression: ${says}`]),
  ]
}

function isExpression(text: string): boolean {
  try {
    return new RegExp(text) instanceof RegExp
  } catch {
    return false
  }
}

function fitOf(
  { target, patch = [] }: Written,
  placed: Placed | undefined,
  where: string,
): readonly string[] {
  if (placed === undefined)
    return [`there is no ${target} in k8s/; it is written as kind, namespace/name`]
  const home = `${MUTANTS}/${posix.basename(placed.manifest)}`
  const strayed =
    home === where ? [] : [`its target stands in ${placed.manifest}: move it to ${home}`]
  return [...strayed, ...effectOf(placed.object, patch)]
}

function effectOf(object: KubernetesObject, patch: readonly Operation[]): readonly string[] {
  try {
    const changed = patched(object, patch)
    const isSame = patch.length > 0 && JSON.stringify(changed) === JSON.stringify(object)
    return isSame ? ['its patch changes nothing'] : []
  } catch (error) {
    return [`${(error as Error).message}; pointers go by the manifest as it stands in k8s/`]
  }
}

function mutantOf(written: Written, { manifest, object }: Placed): Mutant {
  const { id, target, patch, via, kills = [], says } = written
  return {
    id,
    manifest,
    target,
    via,
    kills,
    ...(patch === undefined ? {} : { patch }),
    ...(says === undefined ? {} : { says: new RegExp(says) }),
    touches: patch === undefined ? ['/spec'] : touchedBy(object, patch),
  }
}

/** An operation on what an earlier one of its patch has moved or brought is not about the manifest. */
function touchedBy(object: KubernetesObject, patch: readonly Operation[]): readonly string[] {
  return patch.flatMap(({ op, path }, index) => {
    if (op !== 'remove' && op !== 'replace') return []
    const before = valueAt(patched(object, patch.slice(0, index)), path)
    const isOwn = JSON.stringify(before) === JSON.stringify(valueAt(object, path))
    return isOwn ? [path] : []
  })
}
