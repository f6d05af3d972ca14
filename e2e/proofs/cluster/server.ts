/** A probe that is called: in a namespace of the mesh that no rule is about. */
import type { Mesh } from './mesh.ts'
import { PROBES } from './names.ts'
import type { Probe } from './probe.ts'

const ROLE = { role: 'server' }
export const SERVER_URL = `http://probe.${PROBES}.svc.cluster.local:8080`

/** Made by `prepare`. */
export const SERVER_SERVICE = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'probe', namespace: PROBES },
  spec: { selector: ROLE, ports: [{ name: 'http', port: 8080 }] },
}

export function probeServer(mesh: Mesh): Promise<Probe> {
  return mesh.probe({ namespace: PROBES, labels: ROLE })
}
