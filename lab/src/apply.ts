/** `pnpm lab apply [COMPONENT …]`: the manifests as they stand, with those components and no other. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Component, componentsOf, LAYERS, needsNewPods } from './components.ts'
import { createKubectl, type KubernetesObject } from './kubectl.ts'
import { STATE_DIR } from './lab.ts'
import {
  productOf,
  type Rendered,
  ROLLED_OUT_WITHIN_MS,
  readTags,
  renderProduct,
  untilProductReady,
} from './product.ts'
import { step } from './progress.ts'
import { requireTools } from './tools.ts'

const APPLIED = join(STATE_DIR, 'components.json')

/** Of the lab that runs. */
export function readComponents(): readonly Component[] {
  return JSON.parse(readFileSync(APPLIED, 'utf8'))
}

export function writeComponents(names: readonly Component[]): void {
  writeFileSync(APPLIED, JSON.stringify(names))
}

/** What a component brought and `names` no longer has is deleted. @throws LabError naming what does not get ready. */
export async function apply(names: readonly string[]): Promise<void> {
  const components = componentsOf(names)
  const tools = requireTools()
  const kubectl = createKubectl(tools.program('kubernetes', 'kubectl'))
  const before = readComponents()
  const [old, rendered] = await Promise.all([
    renderProduct(tools, before),
    renderProduct(tools, components),
  ])
  const wanted = outsideControlPlane(rendered)
  const known = new Set([...rendered.controlPlane, ...wanted].map(keyOf))
  const left = [...old.controlPlane, ...outsideControlPlane(old)].filter(
    (object) => !known.has(keyOf(object)),
  )
  // It validates what follows, and a changed one begins anew.
  await kubectl.apply(rendered.controlPlane)
  await kubectl.untilRolledOut('istio-system', ROLLED_OUT_WITHIN_MS)
  await kubectl.apply(wanted)
  writeComponents(components)
  if (left.length > 0) await kubectl.remove(left)
  step(`applied${left.length > 0 ? `, ${left.length} taken away` : ''}`)

  const changed = [...before, ...components].filter(
    (name) => before.includes(name) !== components.includes(name),
  )
  if (changed.some(needsNewPods))
    await kubectl('-n', 'order-management', 'rollout', 'restart', 'deployment')
  await untilProductReady(kubectl)
  step(`the product is ready, with ${components.join(', ') || 'no component of choice'}`)
}

function outsideControlPlane(rendered: Rendered): readonly KubernetesObject[] {
  const layers = LAYERS.flatMap((layer) => rendered[layer])
  const namespaces = layers.filter(({ kind }) => kind === 'Namespace')
  return [...namespaces, ...productOf({ rendered, tags: readTags() })]
}

function keyOf({ apiVersion, kind, metadata: { namespace, name } }: KubernetesObject): string {
  return [apiVersion, kind, namespace, name].join(' ')
}
