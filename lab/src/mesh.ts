/** Istio from the product's own Sail resources: their values rendered by istioctl, as the operator's Helm would. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { run } from './command.ts'
import { ISTIO_HUB } from './images/infrastructure.ts'
import { type KubernetesObject, parseObjects } from './kubectl.ts'
import { INSIDE } from './node/layout.ts'
import { ISTIO_VERSION, type Tools } from './tools.ts'

export function isSail({ apiVersion }: KubernetesObject): boolean {
  return apiVersion.startsWith('sailoperator.io/')
}

/**
 * The objects that the Sail operator would make of `Istio` and `IstioCNI`.
 * @param layer the rendered overlay of the control plane; what is not Sail's is ignored.
 */
export async function renderControlPlane(
  layer: readonly KubernetesObject[],
  tools: Tools,
): Promise<readonly KubernetesObject[]> {
  const [istio, cni] = ['Istio', 'IstioCNI'].map(
    (kind) => layer.find((each) => isSail(each) && each.kind === kind)?.['spec'],
  )
  const operator = {
    apiVersion: 'install.istio.io/v1alpha1',
    kind: 'IstioOperator',
    spec: {
      profile: 'minimal',
      hub: ISTIO_HUB,
      tag: ISTIO_VERSION,
      // None with the component `istio-init`.
      components: { cni: { enabled: cni !== undefined, namespace: cni?.namespace } },
      values: {
        ...istio.values,
        global: { ...istio.values.global, imagePullPolicy: 'Never' },
        cni: {
          ...cni?.values?.cni,
          // Where this node has them, and no other folder of the host.
          cniBinDir: INSIDE.cniBin,
          cniConfDir: INSIDE.cniConf,
        },
      },
    },
  }
  const dir = mkdtempSync(join(tmpdir(), 'oms-istio-'))
  try {
    const file = join(dir, 'operator.yaml')
    writeFileSync(file, stringify(operator))
    const charts = join(tools.dirOf('istio'), 'manifests')
    const rendered = await run(tools.program('istio', 'istioctl'), [
      ...['manifest', 'generate', '--filename', file, '--manifests', charts],
    ])
    return parseObjects(rendered)
  } finally {
    rmSync(dir, { recursive: true })
  }
}
