/** Sidecars put into pods without a cluster, by the injector's own template. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from '@oms/lab/command'
import { type KubernetesObject, parseObjects } from '@oms/lab/kubectl'
import { renderControlPlane } from '@oms/lab/mesh'
import type { Tools } from '@oms/lab/tools'
import { stringify } from 'yaml'
import type { ManifestSet } from './manifests.ts'
import { findObject } from './objects.ts'

/** @param set with the Sail resources that say how. */
export async function injectAll(
  objects: readonly KubernetesObject[],
  set: ManifestSet,
  tools: Tools,
): Promise<readonly KubernetesObject[]> {
  const controlPlane = {
    name: 'control plane',
    objects: await renderControlPlane(set.objects, tools),
  }
  const dataOf = (name: string) =>
    findObject(controlPlane, `ConfigMap istio-system/${name}`)?.['data']
  const injector = dataOf('istio-sidecar-injector')
  const dir = mkdtempSync(join(tmpdir(), 'oms-inject-'))
  const put = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text)
    return join(dir, name)
  }
  try {
    const injected = await run(tools.program('istio', 'istioctl'), [
      'kube-inject',
      // Without a name it waits for a cluster that tells it one.
      ...['--revision', 'default'],
      ...['--filename', put('objects.yaml', objects.map((each) => stringify(each)).join('---\n'))],
      ...['--injectConfigFile', put('injector.yaml', injector.config)],
      ...['--valuesFile', put('values.json', injector.values)],
      ...['--meshConfigFile', put('mesh.yaml', dataOf('istio').mesh)],
    ])
    return parseObjects(injected)
  } finally {
    rmSync(dir, { recursive: true })
  }
}
