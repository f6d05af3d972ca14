/** The product's own manifests on the lab: each layer of `k8s/overlays/lab`, in the order that k8s/README.md gives. */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { LabError, run } from './command.ts'
import type { Kubectl, KubernetesObject } from './kubectl.ts'
import { parseObjects } from './kubectl.ts'
import { isSail, renderControlPlane } from './mesh.ts'
import { createSecrets } from './secrets.ts'
import type { Tools } from './tools.ts'

const ROOT = resolve(import.meta.dirname, '../..')
const REGISTRY = 'registry.example.com/order-management'

export const LAYERS = ['istio-control-plane', 'observability', 'istio-config', 'apps'] as const
export type Layer = (typeof LAYERS)[number]
export type Rendered = Readonly<Record<Layer, readonly KubernetesObject[]>> & {
  readonly controlPlane: readonly KubernetesObject[]
}

/** Image of the product → tag that says what it was built of. */
export type Tags = Readonly<Record<string, string>>

/** Needs no cluster. @throws LabError with what kustomize or istioctl said. */
export async function renderProduct(tools: Tools): Promise<Rendered> {
  const layers = await Promise.all(
    LAYERS.map(async (layer) => {
      const folder = join(ROOT, 'k8s/overlays/lab', layer)
      return [layer, parseObjects(await run(tools.program('gate', 'kustomize'), ['build', folder]))]
    }),
  )
  const rendered = Object.fromEntries(layers) as Record<Layer, readonly KubernetesObject[]>
  const controlPlane = await renderControlPlane(rendered['istio-control-plane'], tools)
  return { ...rendered, controlPlane }
}

export interface InstallOptions {
  readonly kubectl: Kubectl
  readonly rendered: Rendered
  readonly tags: Tags
  readonly step: (line: string) => void
}

/** 60 s a layer; they take ten where the machine is quiet. */
const ROLLED_OUT_WITHIN_MS = 120_000

export async function installMesh({ kubectl, rendered, step }: InstallOptions): Promise<void> {
  const all = LAYERS.flatMap((layer) => rendered[layer])
  await kubectl.apply(all.filter(({ kind }) => kind === 'Namespace'))
  await kubectl.apply(rendered.controlPlane)
  for (const namespace of ['kube-system', 'istio-cni', 'istio-system'])
    await kubectl.untilRolledOut(namespace, ROLLED_OUT_WITHIN_MS)
  step('Istio: istiod and the CNI node agent are ready')
}

/** Everything at once: the services wait for what they need. */
export async function installProduct(options: InstallOptions): Promise<void> {
  const { kubectl, rendered, tags, step } = options
  const { objects, jwks } = await createSecrets()
  await kubectl.apply([...objects, demoCatalogue()])
  for (const layer of LAYERS)
    await kubectl.apply(
      rendered[layer]
        .filter((object) => !isSail(object) && object.kind !== 'Namespace')
        .map((object) => withTokenKeys(withTags(object, tags), jwks)),
    )
  for (const namespace of [
    'istio-ingress',
    'jaeger',
    'monitoring',
    'card-processor',
    'order-management',
  ])
    await kubectl.untilRolledOut(namespace, ROLLED_OUT_WITHIN_MS)
  step('the product: gateway, services, PostgreSQL, card processor, Jaeger, Prometheus are ready')
}

function demoCatalogue(): object {
  const read = (path: string): string => readFileSync(join(ROOT, 'services', path), 'utf8')
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'demo-catalogue', namespace: 'order-management' },
    data: {
      'prices.json': read('order/demo/prices.json'),
      'stock.json': read('inventory/demo/stock.json'),
    },
  }
}

/** Every `<registry>/<image>:<tag>` of ours gets the tag of what was built. */
function withTags(object: KubernetesObject, tags: Tags): KubernetesObject {
  return JSON.parse(JSON.stringify(object), (key, value) => {
    if (key !== 'image' || typeof value !== 'string' || !value.startsWith(`${REGISTRY}/`))
      return value
    const name = value.slice(REGISTRY.length + 1).split(':')[0] as string
    if (tags[name] === undefined)
      throw new LabError(`The manifests name an image ${name} that the lab does not build.`)
    return imageName(name, tags[name])
  })
}

export function imageName(name: string, tag: string): string {
  return `${REGISTRY}/${name}:${tag}`
}

/** In place of the overlay's placeholder. */
function withTokenKeys(object: KubernetesObject, jwks: string): KubernetesObject {
  if (object.kind !== 'RequestAuthentication' || object.metadata.name !== 'orders-jwt')
    return object
  const [rule] = object['spec'].jwtRules
  return { ...object, spec: { ...object['spec'], jwtRules: [{ ...rule, jwks }] } }
}
