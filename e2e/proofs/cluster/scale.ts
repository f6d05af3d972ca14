/** How many pods a service has. */
import type { Mesh } from './mesh.ts'
import { OM, type ServiceName } from './names.ts'
import { untilRolledOut } from './pods.ts'

/** Its HorizontalPodAutoscaler and its Deployment, until the proof ends. Resolves once no other pod is there. */
export async function scaleTo(mesh: Mesh, service: ServiceName, replicas: number): Promise<void> {
  const scaler = `/apis/autoscaling/v2/namespaces/${OM}/horizontalpodautoscalers/${service}`
  const deployment = `/apis/apps/v1/namespaces/${OM}/deployments/${service}`
  await mesh.changes.patch(scaler, [
    { op: 'add', path: '/spec/minReplicas', value: replicas },
    { op: 'replace', path: '/spec/maxReplicas', value: replicas },
  ])
  // The scaler itself looks every 15 s.
  await mesh.changes.patch(deployment, [{ op: 'add', path: '/spec/replicas', value: replicas }])
  await untilRolledOut(mesh.api, OM, service)
}
