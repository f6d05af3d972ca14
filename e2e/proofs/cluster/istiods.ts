/** Three istiods, on a cluster that has fewer. */
import type { Mesh } from './mesh.ts'
import { SYSTEM } from './names.ts'
import { untilRolledOut } from './pods.ts'

const SCALER = `/apis/autoscaling/v2/namespaces/${SYSTEM}/horizontalpodautoscalers/istiod`
const DEPLOYMENT = `/apis/apps/v1/namespaces/${SYSTEM}/deployments/istiod`

/** Until all proofs have ended: two of them need three. Resolves once three are ready. */
export async function threeIstiods({ api, changesOf }: Mesh): Promise<void> {
  const lasting = changesOf('three istiods')
  const found = await api.read(DEPLOYMENT)
  if ((found?.['spec'].replicas ?? 0) < 3) {
    await lasting.patch(SCALER, [{ op: 'replace', path: '/spec/minReplicas', value: 3 }])
    await lasting.patch(DEPLOYMENT, [{ op: 'replace', path: '/spec/replicas', value: 3 }])
  }
  await untilRolledOut(api, SYSTEM, 'istiod')
}
