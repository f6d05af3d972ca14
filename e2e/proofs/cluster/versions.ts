/** What the proofs ran on: it stands in each report. */
import type { Api } from './api.ts'
import { openEnvoy } from './envoy.ts'
import { OM, SYSTEM } from './names.ts'
import { podsOf } from './pods.ts'

export async function readVersions(api: Api): Promise<Readonly<Record<string, string>>> {
  const [version, istiod, [pod]] = await Promise.all([
    api.text('/version'),
    api.read(`/apis/apps/v1/namespaces/${SYSTEM}/deployments/istiod`),
    podsOf(api, OM, 'app=order-service'),
  ])
  const tagOf = (image: string | undefined): string => image?.split(':').at(-1) ?? 'unknown'
  return {
    Kubernetes: JSON.parse(version).gitVersion,
    Istio: tagOf(istiod?.['spec'].template.spec.containers[0].image),
    Envoy: pod === undefined ? 'unknown' : await envoyVersion(api, pod),
    Product: tagOf(pod?.['spec'].containers[0].image),
  }
}

/** `<commit>/<version>/<state>/<build>/<tls>` → the version. */
async function envoyVersion(api: Api, pod: Parameters<typeof openEnvoy>[1]): Promise<string> {
  const envoy = await openEnvoy(api, pod)
  try {
    const { version } = JSON.parse(await envoy.get('/server_info')) as { version: string }
    return version.split('/')[1] ?? version
  } finally {
    await envoy.close()
  }
}
