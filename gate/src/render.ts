/** What kustomize makes of the overlays, and of every component on its base, alone and with each other one. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, posix, relative } from 'node:path'
import { exec } from '@oms/lab/command'
import { COMPONENTS, type Component, LAYERS, type Layer } from '@oms/lab/components'
import { parseObjects } from '@oms/lab/kubectl'
import type { Tools } from '@oms/lab/tools'
import { stringify } from 'yaml'
import type { Files } from './files.ts'
import { BASE, kustomizationsOf, type ManifestSet, objectsOf, type Render } from './manifests.ts'
import { inTurns } from './turns.ts'

/** Component → the layers whose overlays it is for; in the order in which an overlay names them. */
export const COMPONENT_LAYERS: ReadonlyMap<string, readonly Layer[]> = new Map([
  ['components/canary/workload', ['apps']],
  ['components/canary/routes', ['istio-config']],
  ['components/fault-injection', ['istio-config']],
  ['components/card-processor/workload', ['apps']],
  ['components/card-processor/istio-config', ['istio-config']],
  ['components/demo-catalogue', ['apps']],
  ['components/app-faults', ['apps']],
  ['components/one-node', ['istio-control-plane', 'observability', 'apps']],
  ['components/istio-init/istio-control-plane', ['istio-control-plane']],
  ['components/istio-init/namespaces', ['observability', 'apps']],
  ['components/local/apps', ['apps']],
  ['components/local/istio-config', ['istio-config']],
  ['components/local/namespaces', ['istio-control-plane', 'observability', 'apps']],
])

interface Build {
  readonly of: string
  readonly layer: Layer
  readonly components: readonly string[]
}

export function overlaysIn(files: Files): readonly string[] {
  const names = [...files.keys()].flatMap((path) => /^overlays\/([^/]+)\//.exec(path)?.[1] ?? [])
  return [...new Set(names)]
}

function nameOf(layer: Layer, components: readonly string[]): string {
  const names = components.map((path) => path.slice('components/'.length))
  return `${layer} with ${names.join(' and ')}`
}

function combinations(): readonly Build[] {
  return LAYERS.flatMap((layer) => {
    const components = [...COMPONENT_LAYERS]
      .filter(([, layers]) => layers.includes(layer))
      .map(([path]) => path)
    const pairs = components.flatMap((first, index) =>
      components.slice(index + 1).map((second) => [first, second]),
    )
    return [...components.map((each) => [each]), ...pairs].map((chosen) => ({
      of: nameOf(layer, chosen),
      layer,
      components: chosen,
    }))
  })
}

/**
 * @param folder k8s/ itself, or a copy of it.
 * @param only names of builds, as `Render` has them; default: all.
 */
export async function renderAll(
  folder: string,
  files: Files,
  tools: Tools,
  only?: readonly string[],
): Promise<readonly Render[]> {
  const dir = mkdtempSync(join(tmpdir(), 'oms-gate-'))
  const write = ({ of, layer, components }: Build, index: number): Built => {
    const path = join(dir, String(index))
    const up = (below: string): string => relative(path, join(folder, below))
    const kustomization = { resources: [up(layer)], components: components.map(up) }
    mkdirSync(path)
    writeFileSync(join(path, 'kustomization.yaml'), stringify(kustomization))
    return { of, path }
  }
  try {
    const overlays = [...kustomizationsOf(files).keys()]
      .filter((path) => path.startsWith('overlays/'))
      .map((of) => ({ of, path: join(folder, of) }))
    const builds = [...overlays, ...combinations().map(write)]
    const wanted = builds.filter(({ of }) => only?.includes(of) ?? true)
    return await inTurns(wanted, (build) => render(build, tools))
  } finally {
    rmSync(dir, { recursive: true })
  }
}

/** A folder with a kustomization. */
interface Built {
  readonly of: string
  readonly path: string
}

async function render({ of, path }: Built, tools: Tools): Promise<Render> {
  const kustomize = tools.program('gate', 'kustomize')
  const { code, stdout, stderr } = await exec(kustomize, ['build', path])
  return code === 0
    ? { of, objects: parseObjects(stdout) }
    : { of, objects: [], error: stderr.replaceAll(path, of).trim() }
}

/** Each overlay as a whole, its layers together, and the base with each component that keeps its promises. */
export function renderedSets(files: Files, renders: readonly Render[]): readonly ManifestSet[] {
  if (renders.length === 0) return []
  return [...overlaySets(renders), ...PROMISING.map((name) => componentSet(name, files, renders))]
}

function overlaySets(renders: readonly Render[]): readonly ManifestSet[] {
  const overlays = Map.groupBy(
    renders.filter(({ of }) => of.startsWith('overlays/')),
    ({ of }) => posix.dirname(of),
  )
  return [...overlays].map(([name, layers]) => ({
    name,
    objects: layers.flatMap(({ objects }) => objects),
  }))
}

/** Not istio-init: it gives the profile `restricted` up. */
const PROMISING = [
  'canary',
  'fault-injection',
  'app-faults',
] as const satisfies readonly Component[]

function componentSet(
  name: (typeof PROMISING)[number],
  files: Files,
  renders: readonly Render[],
): ManifestSet {
  const folders: Readonly<Partial<Record<Layer, string>>> = COMPONENTS[name].folders
  const objects = LAYERS.flatMap((layer) => {
    const folder = folders[layer]
    if (folder === undefined) return objectsOf(files, layer)
    const name = nameOf(layer, [`components/${folder}`])
    return renders.filter(({ of }) => of === name).flatMap((each) => each.objects)
  })
  return { name: `${BASE} with ${name}`, objects }
}
