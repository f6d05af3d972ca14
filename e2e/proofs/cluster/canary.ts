/** The next release beside the stable one, as the component `canary` brings it: its pod for all proofs, its routes for one. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '@oms/lab/folders'
import { parse } from 'yaml'
import { type KubernetesObject, until } from './api.ts'
import type { Mesh } from './mesh.ts'
import { clusterOf, INGRESS, OM } from './names.ts'
import { untilRolledOut } from './pods.ts'

const NAME = 'order-service-canary'
const DEPLOYMENTS = `/apis/apps/v1/namespaces/${OM}/deployments`
export const GATEWAY_ROUTES = `/apis/networking.istio.io/v1/namespaces/${OM}/virtualservices/${NAME}`
export const STABLE = clusterOf('order-service', 8080, OM, 'stable')
export const CANARY = clusterOf('order-service', 8080, OM, 'canary')

/** 10 s: a new address is pushed within one. */
const KNOWN_WITHIN_MS = 10_000

/** One pod, that the gateway knows; the run takes it away at its end. */
export async function withCanary(mesh: Mesh): Promise<void> {
  if ((await mesh.api.read(`${DEPLOYMENTS}/${NAME}`)) === undefined)
    await mesh.changesOf('canary').create(await deploymentOf(mesh))
  await untilRolledOut(mesh.api, OM, NAME)
  await untilKnown(mesh, 1)
}

/** None, and the gateway knows it. */
export async function withoutCanary(mesh: Mesh): Promise<void> {
  if ((await mesh.api.read(`${DEPLOYMENTS}/${NAME}`)) !== undefined)
    await mesh.changes.patch(`${DEPLOYMENTS}/${NAME}`, [
      { op: 'replace', path: '/spec/replicas', value: 0 },
    ])
  await untilKnown(mesh, 0)
}

/** Until the proof ends. */
export async function addRoutes(mesh: Mesh): Promise<void> {
  const file = join(ROOT, 'k8s/components/canary/routes/routes.yaml')
  const operations = parse(readFileSync(file, 'utf8'))
  await mesh.istiod.pushed(() => mesh.changes.patch(GATEWAY_ROUTES, operations))
}

/** The manifest's, with the image and the environment of the stable one. */
async function deploymentOf(mesh: Mesh): Promise<KubernetesObject> {
  const file = join(ROOT, 'k8s/apps', NAME, `${NAME}.yaml`)
  const canary: KubernetesObject = parse(readFileSync(file, 'utf8'))
  const stable = await mesh.api.read(`${DEPLOYMENTS}/order-service`)
  if (stable === undefined) throw new Error(`There is no Deployment ${OM}/order-service.`)
  const { containers, volumes } = stable['spec'].template.spec
  Object.assign(canary['spec'].template.spec, { containers, volumes })
  return canary
}

async function untilKnown(mesh: Mesh, hosts: number): Promise<void> {
  for (const envoy of await mesh.envoysOf('istio=ingressgateway', INGRESS))
    await until(`${hosts} pods of the canary at ${envoy.pod}`, KNOWN_WITHIN_MS, async () => {
      const lines = (await envoy.get('/clusters')).split('\n')
      const known = lines.filter((line) => line.startsWith(CANARY) && line.includes('::cx_total::'))
      return known.length === hosts ? true : undefined
    })
}
