/** The folder k8s/ in memory: what every file says, and its documents where it is YAML. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import type { KubernetesObject } from '@oms/lab/kubectl'
import { parseAllDocuments } from 'yaml'

export interface ManifestFile {
  readonly text: string
  /** None where it is not YAML. */
  readonly documents: readonly unknown[]
  /** What the parser of YAML refuses. */
  readonly errors: readonly string[]
}

/** Path below k8s/ → what it says. */
export type Files = ReadonlyMap<string, ManifestFile>

export function readFiles(folder: string): Files {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
  return new Map(
    entries
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name))
      .sort()
      .map((path) => [relative(folder, path), parseFile(path, readFileSync(path, 'utf8'))]),
  )
}

export function parseFile(path: string, text: string): ManifestFile {
  if (!/\.ya?ml$/.test(path)) return { text, documents: [], errors: [] }
  const parsed = parseAllDocuments(text)
  const errors = [...parsed].flatMap((document) => document.errors.map(({ message }) => message))
  const documents = errors.length > 0 ? [] : [...parsed].map((document) => document.toJS())
  return { text, documents: documents.filter((document) => document !== null), errors }
}

/** The objects of Kubernetes among the documents of a file. */
export function objectsIn({ documents }: ManifestFile): readonly KubernetesObject[] {
  return documents.filter(isObject)
}

function isObject(document: unknown): document is KubernetesObject {
  const { kind, metadata } = document as Partial<KubernetesObject>
  return kind !== undefined && metadata?.name !== undefined
}
