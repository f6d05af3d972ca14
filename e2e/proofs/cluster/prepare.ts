/** What the proofs need beside the product: two namespaces, faults that a request can ask for. All of it is taken back. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Operation } from '@oms/gate/pointers'
import { ROOT } from '@oms/lab/folders'
import { parse } from 'yaml'
import type { Api } from './api.ts'
import type { Changes } from './changes.ts'
import { EXTERNAL, OM, PROBES } from './names.ts'
import { untilRolledOut } from './pods.ts'
import { MADE_BY } from './preflight.ts'
import { PROBE_LABEL } from './probe.ts'
import { SERVER_SERVICE } from './server.ts'

const FAULTS = join(ROOT, 'k8s/components/app-faults')
const DEPLOYMENTS = ['order-service', 'payment-service', 'inventory-service'] as const

/** Resolves once every service obeys `x-oms-fault`. */
export async function prepare(api: Api, changes: Changes): Promise<void> {
  for (const [name, injection] of [
    [PROBES, 'enabled'],
    [EXTERNAL, 'disabled'],
  ] as const)
    await changes.create({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels: { ...MADE_BY, 'istio-injection': injection } },
    })
  await changes.create({
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: { name: 'order-service', namespace: PROBES },
  })
  await changes.create(SERVER_SERVICE)
  await addFaults(api, changes)
}

async function addFaults(api: Api, changes: Changes): Promise<void> {
  const operations: Operation[] = parse(readFileSync(join(FAULTS, 'preload.yaml'), 'utf8'))
  const lacking = []
  for (const name of DEPLOYMENTS) {
    const path = `/apis/apps/v1/namespaces/${OM}/deployments/${name}`
    const env = (await api.read(path))?.['spec'].template.spec.containers[0].env ?? []
    if (!env.some((each: { name: string }) => each.name === 'APP_FAULTS_DEFAULT'))
      lacking.push({ name, path })
  }
  if (lacking.length === 0) return
  await changes.create({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'app-faults', namespace: OM },
    data: { 'faults.mjs': readFileSync(join(FAULTS, 'faults.mjs'), 'utf8'), default: '' },
  })
  for (const { path } of lacking) await changes.patch(path, operations)
  await Promise.all(lacking.map(({ name }) => untilRolledOut(api, OM, name, 180_000)))
}

/** Probes that a proof could not remove, in namespaces that stay. */
export async function removeProbes(api: Api): Promise<void> {
  const query = `labelSelector=app%3D${PROBE_LABEL}`
  for (const kind of ['pods', 'configmaps']) {
    const found = await api.list(`/api/v1/${kind}?${query}`)
    for (const { metadata } of found)
      await api.remove(`/api/v1/namespaces/${metadata.namespace}/${kind}/${metadata.name}`, 0)
  }
}
