/** Ways to break a copy of the manifests: each gives the files it got, but for one thing. */
import { stringify } from 'yaml'
import { type Files, type ManifestFile, objectsIn, parseFile } from '../src/files.ts'
import type { Sources } from '../src/manifests.ts'
import { idOf } from '../src/objects.ts'
import { removeAt, setAt, stepsOf, valueAt } from '../src/pointers.ts'
import type { Gate } from '../src/rule.ts'

export type Break = (files: Files) => Files

/** A mistake that the gate must find. */
export interface BrokenCopy {
  /** In words. */
  readonly mistake: string
  readonly gate: Gate
  readonly breaks: readonly Break[]
  /** Of what guards the manifests; paths from the project’s folder. */
  readonly breaksEvidence?: readonly Break[]
  /** What a finding of that gate must say. */
  readonly says: RegExp
}

/** One that a program finds. */
export interface ToolBrokenCopy extends BrokenCopy {
  /** The builds that show it; none: the base as it is read. */
  readonly builds?: readonly string[]
}

/**
 * @param id as `VirtualService order-management/order-service-canary`; of the base, not of a component's patch.
 * @param pointer JSON pointer (RFC 6901); `-` appends to a list.
 */
export function set(id: string, pointer: string, value: unknown): Break {
  return edit(id, (object) => setAt(object, atEnd(object, pointer), value))
}

export function unset(id: string, pointer: string): Break {
  return edit(id, (object) => removeAt(object, pointer))
}

/** Deletes the resource. */
export function drop(id: string): Break {
  return editAll(id, () => [])
}

/** A second resource beside `id`, like it but for its name and `changes` to its spec. */
export function double(id: string, name: string, changes: object = {}): Break {
  return editAll(id, (object) => {
    const { metadata, spec } = object as { metadata: object; spec: object }
    const second = { ...object, metadata: { ...metadata, name }, spec: { ...spec, ...changes } }
    return [object, second]
  })
}

/** One more resource, in the file of `id`. */
export function beside(id: string, added: object): Break {
  return editAll(id, (object) => [object, added])
}

/** @throws Error where `from` does not stand in the file exactly once. */
export function rewrite(path: string, from: string, to: string): Break {
  return (files) => {
    const parts = fileAt(files, path).text.split(from)
    if (parts.length !== 2) throw new Error(`${path} has "${from}" ${parts.length - 1} times`)
    return put(path, parts.join(to))(files)
  }
}

export function put(path: string, text: string): Break {
  return (files) => new Map([...files, [path, parseFile(path, text)]])
}

export function removeFile(path: string): Break {
  return (files) => {
    fileAt(files, path)
    return new Map([...files].filter(([each]) => each !== path))
  }
}

export function broken(
  { files, evidence }: Sources,
  { breaks, breaksEvidence = [] }: BrokenCopy,
): Sources {
  const all = (these: readonly Break[], of: Files): Files =>
    these.reduce((changed, each) => each(changed), of)
  return { files: all(breaks, files), evidence: all(breaksEvidence, evidence) }
}

function fileAt(files: Files, path: string): ManifestFile {
  const file = files.get(path)
  if (file === undefined) throw new Error(`There is no ${path}`)
  return file
}

function edit(id: string, change: (object: object) => object): Break {
  return editAll(id, (object) => [change(object)])
}

function editAll(id: string, change: (object: object) => readonly object[]): Break {
  return (files) => {
    const found = [...files].find(
      ([path, file]) =>
        !/^(components|overlays)\//.test(path) && objectsIn(file).some((each) => idOf(each) === id),
    )
    if (found === undefined) throw new Error(`There is no ${id}`)
    const [path, file] = found
    const documents = objectsIn(file).flatMap((each) => (idOf(each) === id ? change(each) : [each]))
    return put(path, documents.map((each) => stringify(each)).join('---\n'))(files)
  }
}

/** `-` is the number that the next element of its list would have. */
function atEnd(object: object, pointer: string): string {
  if (stepsOf(pointer).at(-1) !== '-') return pointer
  const list = pointer.slice(0, -'/-'.length)
  return `${list}/${(valueAt(object, list) as readonly unknown[]).length}`
}
