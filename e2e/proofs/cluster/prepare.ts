/** What the proofs need beside the product: two namespaces, faults that a request can ask for. All of it is taken back. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Operation } from '@oms/gate/pointers'
import { ROOT } from '@oms/lab/folders'
import { parse } from 'yaml'
import type { Api } from './api.ts'
import type { Changes } from './changes.ts'
import { EXTERNAL, OM, PROBES, SERVICES } from './names.ts'
import { untilRolledOut } from './pods.ts'
import { MADE_BY } from './preflight.ts'
import { PROBE_LABEL } from './probe.ts'
import { SERVER_SERVICE } from './server.ts'

const FAULTS = join(ROOT, 'k8s/components/app-faults')

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

/** Of the program that the pods have loaded: they do so once. */
const LOADED = 'proofs.order-management.example.com/faults'

async function addFaults(api: Api, changes: Changes): Promise<void> {
  const program = readFileSync(join(FAULTS, 'faults.mjs'), 'utf8')
  const loaded: Operation = {
    op: 'add',
    path: `/spec/template/metadata/annotations/${LOADED.replace('/', '~1')}`,
    value: createHash('sha256').update(program).digest('hex').slice(0, 16),
  }
  const preload: Operation[] = parse(readFileSync(join(FAULTS, 'preload.yaml'), 'utf8'))
  const lacking: { readonly path: string; readonly name: string; operations: Operation[] }[] = []
  for (const name of SERVICES) {
    const path = `/apis/apps/v1/namespaces/${OM}/deployments/${name}`
    const { metadata, spec } = (await api.read(path))?.['spec'].template ?? {}
    const env: readonly { name: string }[] = spec?.containers[0].env ?? []
    const has = env.some((each) => each.name === 'APP_FAULTS_DEFAULT')
    if (has && metadata.annotations?.[LOADED] === loaded.value) continue
    lacking.push({ name, path, operations: has ? [loaded] : [...preload, loaded] })
  }
  if (lacking.length === 0) return
  await changes.create({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'app-faults', namespace: OM },
    data: { 'faults.mjs': program, default: '' },
  })
  for (const { path, operations } of lacking) await changes.patch(path, operations)
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
