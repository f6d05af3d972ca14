/** Puts a mutant on the cluster; everything goes through the journal of changes. */

import type { Mutant } from '@oms/gate/mutants'
import { idOf } from '@oms/gate/objects'
import { patched } from '@oms/gate/pointers'
import { LAYERS } from '@oms/lab/components'
import { renderControlPlane } from '@oms/lab/mesh'
import { renderProduct } from '@oms/lab/product'
import { requireTools } from '@oms/lab/tools'
import { ApiError, type KubernetesObject, pathOf } from '../cluster/api.ts'
import { concernsProxies } from '../cluster/changes.ts'
import { NoPushError } from '../cluster/istiod.ts'
import type { Mesh } from '../cluster/mesh.ts'
import { tryMutant } from '../cluster/mutation.ts'
import { untilRolledOut } from '../cluster/pods.ts'

const ISTIO = 'Istio default'
/** `VirtualService order-management/x` → the kind's API. */
const VERSIONS: Readonly<Record<string, string>> = {
  AuthorizationPolicy: 'security.istio.io/v1',
  PeerAuthentication: 'security.istio.io/v1',
  RequestAuthentication: 'security.istio.io/v1',
  Telemetry: 'telemetry.istio.io/v1',
  VirtualService: 'networking.istio.io/v1',
  DestinationRule: 'networking.istio.io/v1',
  Gateway: 'networking.istio.io/v1',
  ServiceEntry: 'networking.istio.io/v1',
  Sidecar: 'networking.istio.io/v1',
  Deployment: 'apps/v1',
  NetworkPolicy: 'networking.k8s.io/v1',
  PodDisruptionBudget: 'policy/v1',
  Service: 'v1',
  Namespace: 'v1',
}

function nameOf(target: string): Pick<KubernetesObject, 'apiVersion' | 'kind' | 'metadata'> {
  const [kind = '', place = ''] = target.split(' ')
  const [namespace, name] = place.includes('/') ? place.split('/') : [undefined, place]
  const apiVersion = VERSIONS[kind]
  if (apiVersion === undefined) throw new Error(`No mutant can be made of a ${kind} yet.`)
  const metadata = { name: name as string, ...(namespace === undefined ? {} : { namespace }) }
  return { apiVersion, kind, metadata }
}

/** Resolves once the proxies have it. What it changed is the `mesh`'s. */
export async function infect(mesh: Mesh, mutant: Mutant): Promise<void> {
  tryMutant(mutant)
  if (mutant.target === ISTIO) return infectControlPlane(mesh, mutant)
  const object = nameOf(mutant.target)
  const path = pathOf(object)
  // A proof brings the example's objects itself, and asks for them as the mutant has them.
  if ((await mesh.api.read(path)) === undefined) return
  await reaching(mesh, object, () =>
    mutant.patch === undefined ? mesh.changes.remove(path) : mesh.changes.patch(path, mutant.patch),
  )
}

/** The opposite. */
export async function heal(mesh: Mesh): Promise<void> {
  tryMutant(undefined)
  await mesh.end()
}

async function reaching(
  mesh: Mesh,
  object: ReturnType<typeof nameOf>,
  change: () => Promise<unknown>,
): Promise<void> {
  if (concernsProxies(pathOf(object))) return mesh.istiod.pushed(change).catch(unlessQuiet)
  await change()
  const { kind, metadata } = object
  if (kind === 'Deployment')
    await untilRolledOut(mesh.api, metadata.namespace as string, metadata.name, 180_000)
}

/** A change that concerns no proxy is pushed to none; its proof says whether that is so. */
function unlessQuiet(error: Error): void {
  if (!(error instanceof NoPushError || error.message.startsWith('the change pushed'))) throw error
}

/** As it is without mutants: for all of them the same. */
let rendering: ReturnType<typeof renderProduct> | undefined

/** The values of the Sail resource, as they are rendered for this cluster. */
async function infectControlPlane(mesh: Mesh, { patch = [] }: Mutant): Promise<void> {
  if (mesh.target.lab === undefined) {
    const path = '/apis/sailoperator.io/v1/istios/default'
    await mesh.istiod.pushed(() => mesh.changes.patch(path, patch)).catch(unlessQuiet)
    return
  }
  const tools = requireTools()
  rendering ??= renderProduct(tools)
  const rendered = await rendering
  const layer = LAYERS.flatMap((name) => rendered[name])
  const changed = layer.map((object) => (idOf(object) === ISTIO ? patched(object, patch) : object))
  const before = new Map(rendered.controlPlane.map((object) => [idOf(object), object]))
  const after = await renderControlPlane(changed, tools)
  const differing = after.filter(
    (object) => JSON.stringify(object) !== JSON.stringify(before.get(idOf(object))),
  )
  await mesh.istiod
    .pushed(async () => {
      for (const object of differing) await mesh.changes.replace(object)
    })
    .catch(unlessQuiet)
  for (const { kind, metadata } of differing)
    if (kind === 'Deployment')
      await untilRolledOut(mesh.api, metadata.namespace as string, metadata.name)
}

/** What the API server answers to the mutant; nothing stays. */
export async function offer(mesh: Mesh, mutant: Mutant): Promise<string> {
  try {
    await mesh.api.patch(pathOf(nameOf(mutant.target)), mutant.patch ?? [], '&dryRun=All')
    return 'admitted'
  } catch (error) {
    if (error instanceof ApiError) return error.message
    throw error
  }
}
