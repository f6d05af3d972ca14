/** The product's own manifests on the lab: each layer of `k8s/overlays/lab`, in the order that k8s/README.md gives. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { LabError, run } from './command.ts'
import { type Component, copyWith, LAYERS, type Layer } from './components.ts'
import { ROOT } from './folders.ts'
import type { Kubectl, KubernetesObject } from './kubectl.ts'
import { parseObjects } from './kubectl.ts'
import { STATE_DIR } from './lab.ts'
import { isSail, renderControlPlane } from './mesh.ts'
import { createSecrets, readTokenKeys } from './secrets.ts'
import type { Tools } from './tools.ts'

const REGISTRY = 'registry.example.com/order-management'

export type Rendered = Readonly<Record<Layer, readonly KubernetesObject[]>> & {
  readonly controlPlane: readonly KubernetesObject[]
}

/** Image of the product → tag that says what it was built of. */
export type Tags = Readonly<Record<string, string>>

const TAGS = join(STATE_DIR, 'tags.json')

/** Of what runs now. */
export function readTags(): Tags {
  return JSON.parse(readFileSync(TAGS, 'utf8')) as Tags
}

export function writeTags(tags: Tags): void {
  writeFileSync(TAGS, JSON.stringify(tags))
}

/**
 * Needs no cluster.
 * @param components of k8s/components, beside those that the overlay names.
 * @throws LabError with what kustomize or istioctl said.
 */
export async function renderProduct(
  tools: Tools,
  components: readonly Component[] = [],
): Promise<Rendered> {
  const { manifests, dispose } = copyWith(components)
  try {
    const layers = await Promise.all(
      LAYERS.map(async (layer) => {
        const args = ['build', join(manifests, 'overlays/lab', layer)]
        return [layer, parseObjects(await run(tools.program('gate', 'kustomize'), args))]
      }),
    )
    const rendered = Object.fromEntries(layers) as Record<Layer, readonly KubernetesObject[]>
    const controlPlane = await renderControlPlane(rendered['istio-control-plane'], tools)
    return { ...rendered, controlPlane }
  } finally {
    dispose()
  }
}

export interface InstallOptions {
  readonly kubectl: Kubectl
  readonly rendered: Rendered
  readonly tags: Tags
  readonly step: (line: string) => void
}

/** 120 s a namespace; the slowest takes twenty where the machine is quiet. */
export const ROLLED_OUT_WITHIN_MS = 120_000

/**
 * The node's DNS and Istio, without waiting for the node: what is applied starts when it can. Meanwhile what the product
 * needs of the cluster alone.
 */
export async function installMesh(options: InstallOptions): Promise<void> {
  const { kubectl, rendered, step } = options
  const own = ['coredns.yaml', 'prometheusrules-crd.yaml'].flatMap((file) =>
    parseObjects(readFileSync(join(ROOT, 'lab/manifests', file), 'utf8')),
  )
  const all = LAYERS.flatMap((layer) => rendered[layer])
  // Names must resolve before a proxy asks: it asks again after a minute only.
  const names = ['Namespace', 'Service'].flatMap((kind) => all.filter((each) => each.kind === kind))
  await kubectl.apply([...own, ...names])
  await Promise.all([kubectl.apply(rendered.controlPlane), prepareProduct(options)])
  for (const namespace of ['istio-cni', 'istio-system', 'kube-system'])
    await kubectl.untilRolledOut(namespace, ROLLED_OUT_WITHIN_MS)
  step('the node is ready; names resolve; Istio: istiod and the CNI node agent are ready')
}

async function prepareProduct(options: InstallOptions): Promise<void> {
  const secrets = await createSecrets()
  const objects = productOf(options)
  const plain = objects.filter((object) => !needsIstiod(object))
  await options.kubectl.apply([...secrets, demoCatalogue(), alertRules(objects), ...plain])
}

/** All layers as they are applied. */
export function productOf({
  rendered,
  tags,
}: Pick<InstallOptions, 'rendered' | 'tags'>): readonly KubernetesObject[] {
  return LAYERS.flatMap((layer) => objectsOf(rendered, layer, tags))
}

/** Istio's resources, which it validates, and whatever makes pods, which it injects. */
function needsIstiod(object: KubernetesObject): boolean {
  return isIstio(object) || ['Deployment', 'StatefulSet', 'Job'].includes(object.kind)
}

function isIstio({ apiVersion }: KubernetesObject): boolean {
  return apiVersion.includes('.istio.io/')
}

const PRODUCT_NAMESPACES = [
  'order-management',
  'card-processor',
  'istio-ingress',
  'istio-egress',
  'jaeger',
  'monitoring',
] as const

/** Everything at once: the services wait for what they need. */
export async function installProduct(options: InstallOptions): Promise<void> {
  const { kubectl, step } = options
  const objects = productOf(options).filter(needsIstiod)
  // The first one takes longest: its database is made.
  const first = objects.filter(({ kind }) => kind === 'StatefulSet')
  const others = objects.filter((object) => !isIstio(object) && !first.includes(object))
  await Promise.all([
    kubectl.apply([...first, ...others]),
    kubectl.apply(objects.filter((object) => isIstio(object))),
  ])
  await untilProductReady(kubectl)
  step('the product: gateway, services, PostgreSQL, card processor, Jaeger, Prometheus are ready')
}

/** @throws LabError naming what does not get ready. */
export async function untilProductReady(kubectl: Kubectl): Promise<void> {
  for (const namespace of PRODUCT_NAMESPACES)
    await kubectl.untilRolledOut(namespace, ROLLED_OUT_WITHIN_MS)
}

/** A layer as it is applied; Sail's own objects have become `controlPlane`. */
export function objectsOf(
  rendered: Rendered,
  layer: Layer,
  tags: Tags,
): readonly KubernetesObject[] {
  return rendered[layer]
    .filter((object) => !isSail(object) && object.kind !== 'Namespace')
    .map((object) => withTokenKeys(withTags(object, tags)))
}

/** What the prometheus-operator would make of every PrometheusRule. */
function alertRules(objects: readonly KubernetesObject[]): object {
  const rules = objects.filter(({ kind }) => kind === 'PrometheusRule')
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'prometheus-rules', namespace: 'monitoring' },
    data: Object.fromEntries(
      rules.map(({ metadata, spec }) => [`${metadata.name}.yaml`, stringify(spec)]),
    ),
  }
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
function withTokenKeys(object: KubernetesObject): KubernetesObject {
  if (object.kind !== 'RequestAuthentication' || object.metadata.name !== 'orders-jwt')
    return object
  const [rule] = object['spec'].jwtRules
  return { ...object, spec: { ...object['spec'], jwtRules: [{ ...rule, jwks: readTokenKeys() }] } }
}
