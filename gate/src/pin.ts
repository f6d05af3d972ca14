/** A field that must be one value: data, of which a rule is made. */
import { differences, findObject } from './objects.ts'
import { pointerOf, valueAt } from './pointers.ts'
import { inSets, type Rule } from './rule.ts'

export interface Pin {
  readonly of: string
  /** Steps from the object to the field. */
  readonly at: readonly string[]
  /** undefined: the field must not be there. */
  readonly is: unknown
  readonly why: string
  readonly sets?: (name: string) => boolean
}

export function pinned({ of, at, is, why, sets }: Pin): Rule {
  const path = at.join('.')
  return inSets({
    gate: 'G6',
    name: is === undefined ? `${of} has no ${path}` : `${of} pins ${path}`,
    why,
    mend: is === undefined ? 'Remove it.' : `Write ${JSON.stringify(is)}.`,
    ...(sets === undefined ? {} : { sets }),
    subjects: (set) => [findObject(set, of)].filter((object) => object !== undefined),
    wrong: (object) =>
      differences(path, valueAt(object, pointerOf(at)), is).map((what) => `${of}: ${what}`),
  })
}
