/** JSON pointers (RFC 6901) into manifests, and the operations of JSON patches (RFC 6902) that go by them. */

/** Of the four that manifests need; `-` at the end of `add` appends to a list. */
export interface Operation {
  readonly op: 'add' | 'remove' | 'replace' | 'test'
  readonly path: string
  readonly value?: unknown
}

type Steps = readonly string[]
type Holder = Record<string, unknown>

export function stepsOf(pointer: string): Steps {
  return pointer
    .split('/')
    .slice(1)
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
}

export function pointerOf(steps: Steps): string {
  return steps.map((step) => `/${step.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}

/** undefined: it leads nowhere. */
export function valueAt(document: unknown, pointer: string): unknown {
  return stepsOf(pointer).reduce<unknown>(
    (value, step) =>
      typeof value === 'object' && value !== null && Object.hasOwn(value, step)
        ? (value as Holder)[step]
        : undefined,
    document,
  )
}

/**
 * A copy with `value` in the place of what is there, if anything is.
 * @throws Error where the way there leads nowhere.
 */
export function setAt<Document extends object>(
  document: Document,
  pointer: string,
  value: unknown,
): Document {
  return changedAt(document, stepsOf(pointer), (holder, key) => {
    holder[key] = value
  })
}

/** @throws Error where the way there leads nowhere, or where there is nothing to remove. */
export function removeAt<Document extends object>(document: Document, pointer: string): Document {
  return changedAt(document, stepsOf(pointer), (holder, key) => {
    if (!Object.hasOwn(holder, key)) throw new Error(`There is no ${key} to remove`)
    if (Array.isArray(holder)) holder.splice(Number(key), 1)
    else delete holder[key]
  })
}

/** @throws Error with a sentence about the first operation that does not fit. */
export function patched<Document extends object>(
  document: Document,
  operations: readonly Operation[],
): Document {
  return operations.reduce(apply, document)
}

function apply<Document extends object>(document: Document, operation: Operation): Document {
  const { op, path, value } = operation
  if (op === 'add') return addAt(document, path, value)
  const present = valueAt(document, path)
  if (present === undefined) throw new Error(`${op} ${path}: it leads nowhere`)
  if (op === 'remove') return removeAt(document, path)
  if (op === 'replace') return setAt(document, path, value)
  if (JSON.stringify(present) === JSON.stringify(value)) return document
  throw new Error(`test ${path}: there stands ${JSON.stringify(present)}`)
}

function addAt<Document extends object>(
  document: Document,
  pointer: string,
  value: unknown,
): Document {
  return changedAt(document, stepsOf(pointer), (holder, key) => {
    if (Array.isArray(holder)) holder.splice(key === '-' ? holder.length : Number(key), 0, value)
    else holder[key] = value
  })
}

/** Copies what is on the way, so that the document itself stays as it is. */
function changedAt<Document extends object>(
  document: Document,
  [step, ...rest]: Steps,
  change: (holder: Holder, key: string) => void,
): Document {
  if (step === undefined) throw new Error('A pointer to the whole object changes nothing in it')
  const copy = (Array.isArray(document) ? [...document] : { ...document }) as Holder
  if (rest.length === 0) change(copy, step)
  else {
    const inner = copy[step]
    if (typeof inner !== 'object' || inner === null)
      throw new Error(`${pointerOf([step, ...rest])}: there is no ${step} to go into`)
    copy[step] = changedAt(inner, rest, change)
  }
  return copy as Document
}
