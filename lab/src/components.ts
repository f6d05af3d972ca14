/** Parts of k8s/components that can be added to the lab's overlay while it runs. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'
import { LabError } from './command.ts'
import { ROOT } from './folders.ts'

export const LAYERS = ['istio-control-plane', 'observability', 'istio-config', 'apps'] as const
export type Layer = (typeof LAYERS)[number]

interface Part {
  /** Its folders below k8s/components. */
  readonly folders: Readonly<Partial<Record<Layer, string>>>
  /** True where pods take it up only when they are made. */
  readonly newPods?: boolean
}

/** In the order in which an overlay must name them. */
export const COMPONENTS = {
  canary: { folders: { apps: 'canary/workload', 'istio-config': 'canary/routes' } },
  'app-faults': { folders: { apps: 'app-faults' } },
  'fault-injection': { folders: { 'istio-config': 'fault-injection' } },
  'istio-init': {
    folders: {
      'istio-control-plane': 'istio-init/istio-control-plane',
      apps: 'istio-init/namespaces',
    },
    newPods: true,
  },
} as const satisfies Readonly<Record<string, Part>>
export type Component = keyof typeof COMPONENTS

/** @throws LabError with the names there are. */
export function componentsOf(names: readonly string[]): readonly Component[] {
  const known = Object.keys(COMPONENTS) as Component[]
  const unknown = names.filter((name) => !known.includes(name as Component))
  if (unknown.length > 0)
    throw new LabError(
      `There is no component ${unknown.join(', ')}; there are ${known.join(', ')}.`,
    )
  return known.filter((name) => names.includes(name))
}

export function needsNewPods(name: Component): boolean {
  return (COMPONENTS[name] as Part).newPods ?? false
}

/** The manifests, the lab's overlay naming `components` before its own: those patch whatever is there. */
export function copyWith(components: readonly Component[]): {
  readonly manifests: string
  dispose(): void
} {
  const source = join(ROOT, 'k8s')
  if (components.length === 0) return { manifests: source, dispose: () => undefined }
  const manifests = mkdtempSync(join(tmpdir(), 'oms-k8s-'))
  cpSync(source, manifests, { recursive: true })
  for (const layer of LAYERS) {
    const file = join(manifests, 'overlays/lab', layer, 'kustomization.yaml')
    const kustomization = parse(readFileSync(file, 'utf8'))
    const added = components
      .map((name) => (COMPONENTS[name] as Part).folders[layer])
      .filter((folder) => folder !== undefined)
      .map((folder) => `../../../components/${folder}`)
    kustomization.components = [...added, ...(kustomization.components ?? [])]
    writeFileSync(file, stringify(kustomization))
  }
  return { manifests, dispose: () => rmSync(manifests, { recursive: true }) }
}
