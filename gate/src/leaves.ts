/** The leaves of the manifests of the mesh: every single value that something must notice when it changes. */
import { posix } from 'node:path'
import type { KubernetesObject } from '@oms/lab/kubectl'
import { type Files, objectsIn } from './files.ts'
import { kustomizationIn } from './manifests.ts'
import { idOf } from './objects.ts'
import { pointerOf, stepsOf, valueAt } from './pointers.ts'

/** A scalar, an element of a list of scalars, or an object or list that is there and empty. */
export interface Leaf {
  /** As `PeerAuthentication istio-system/default-strict-mtls /spec/mtls/mode`. */
  readonly id: string
  /** As `idOf` gives it. */
  readonly target: string
  /** From the object. */
  readonly pointer: string
  readonly value: unknown
  /** Below k8s/. */
  readonly manifest: string
}

/** Whole folders, as their kustomizations list them. */
const FOLDERS = ['istio-config', 'istio-control-plane/gateways'] as const

/** Listed by no kustomization. */
export const EXAMPLE = 'istio-config/multi-tenant-isolation.yaml'
const CONTROL_PLANE = 'istio-control-plane/istio.yaml'

/** What of an object counts: all that it says, but of the control plane's chart only what is about the mesh and istiod. */
function rootsOf(manifest: string): readonly string[] {
  return manifest === CONTROL_PLANE ? ['/spec/values/pilot', '/spec/values/meshConfig'] : ['/spec']
}

export function leavesOf(files: Files): readonly Leaf[] {
  const listed = FOLDERS.flatMap((folder) =>
    (kustomizationIn(files, folder)?.resources ?? []).map((path) => posix.join(folder, path)),
  )
  return [...listed, EXAMPLE, CONTROL_PLANE].flatMap((manifest) => {
    const file = files.get(manifest)
    return (file === undefined ? [] : objectsIn(file)).flatMap((object) =>
      leavesIn(object, rootsOf(manifest)).map((leaf) => ({ ...leaf, manifest })),
    )
  })
}

/** @param roots pointers; a root that is not there has no leaves. */
export function leavesIn(
  object: KubernetesObject,
  roots: readonly string[],
): readonly Omit<Leaf, 'manifest'>[] {
  const target = idOf(object)
  return roots.flatMap((root) =>
    endsOf(valueAt(object, root), stepsOf(root)).map(({ steps, value }) => {
      const pointer = pointerOf(steps)
      return { id: `${target} ${pointer}`, target, pointer, value }
    }),
  )
}

interface End {
  readonly steps: readonly string[]
  readonly value: unknown
}

function endsOf(value: unknown, steps: readonly string[]): readonly End[] {
  if (value === undefined) return []
  const inner = typeof value === 'object' && value !== null ? Object.entries(value) : []
  if (inner.length === 0) return [{ steps, value }]
  return inner.flatMap(([key, each]) => endsOf(each, [...steps, key]))
}
