/** What is deployed together: the base, read plainly, and every overlay, as kustomize renders it. */
import { posix } from 'node:path'
import { LAYERS } from '@oms/lab/components'
import type { KubernetesObject } from '@oms/lab/kubectl'
import { type Files, objectsIn } from './files.ts'

export interface ManifestSet {
  /** `base`, `overlays/production`, … */
  readonly name: string
  readonly objects: readonly KubernetesObject[]
}

/** One run of kustomize. */
export interface Render {
  /** What was built: folders below k8s/. */
  readonly of: string
  readonly objects: readonly KubernetesObject[]
  readonly error?: string
}

/** Everything that rules are asked about. */
export interface Tree {
  readonly files: Files
  readonly sets: readonly ManifestSet[]
  /** None where kustomize is not at hand. */
  readonly renders: readonly Render[]
  /** What shows that its fields are guarded, by the path from the project’s folder. */
  readonly evidence: Files
}

export interface Patch {
  readonly target?: {
    readonly kind?: string
    readonly name?: string
    readonly labelSelector?: string
  }
  readonly path?: string
  readonly patch?: string
}

export interface Kustomization {
  readonly kind: 'Kustomization' | 'Component'
  readonly resources?: readonly string[]
  readonly components?: readonly string[]
  readonly patches?: readonly Patch[]
  readonly configMapGenerator?: readonly {
    readonly name: string
    readonly files?: readonly string[]
  }[]
}

export const BASE = 'base'

/** What is read from the disk. */
export type Sources = Pick<Tree, 'files' | 'evidence'>

export function treeOf(sources: Sources): Tree {
  return { ...sources, sets: [baseOf(sources.files)], renders: [] }
}

export function kustomizationIn(files: Files, folder: string): Kustomization | undefined {
  return files.get(posix.join(folder, 'kustomization.yaml'))?.documents[0] as
    | Kustomization
    | undefined
}

/** Folder → its kustomization. */
export function kustomizationsOf(files: Files): ReadonlyMap<string, Kustomization> {
  const folders = [...files.keys()].filter((path) => posix.basename(path) === 'kustomization.yaml')
  return new Map(
    folders.map((path) => [
      posix.dirname(path),
      kustomizationIn(files, posix.dirname(path)) as Kustomization,
    ]),
  )
}

function baseOf(files: Files): ManifestSet {
  return { name: BASE, objects: LAYERS.flatMap((layer) => objectsOf(files, layer)) }
}

/** Of a folder of the base. What is missing is missing: a rule of its own tells of it. */
export function objectsOf(files: Files, folder: string): readonly KubernetesObject[] {
  const { resources = [] } = kustomizationIn(files, folder) ?? {}
  return resources.flatMap((resource) => {
    const path = posix.join(folder, resource)
    const file = files.get(path)
    return file === undefined ? objectsOf(files, path) : objectsIn(file)
  })
}
