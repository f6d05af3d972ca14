/** The example of two tenants, each with a namespace of its own. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '@oms/lab/folders'
import { parseObjects } from '@oms/lab/kubectl'
import { underTrial } from './cluster/mutation.ts'
import { DENIED, PROBES } from './cluster/names.ts'
import { proof } from './proof.ts'

const FILE = 'istio-config/multi-tenant-isolation.yaml'
const ROLE = { role: 'server' }

function urlOf(tenant: string): string {
  return `http://probe.${tenant}.svc.cluster.local:8080/${crypto.randomUUID()}`
}

proof(
  'tenant.isolation',
  {
    promise: 'A tenant’s pods know no other namespace, and admit none.',
    manifests: [FILE],
    fields: [
      'Sidecar tenant-a/default spec.egress',
      'AuthorizationPolicy tenant-b/allow-same-namespace spec.rules',
      'PeerAuthentication tenant-b/tenant-b-mtls spec.mtls.mode',
    ],
    timeoutMs: 180_000,
  },
  async (mesh, saw) => {
    const objects = parseObjects(readFileSync(join(ROOT, 'k8s', FILE), 'utf8'))
    await mesh.istiod.pushed(async () => {
      for (const object of underTrial(objects)) await mesh.changes.create(object)
      for (const namespace of ['tenant-a', 'tenant-b'])
        await mesh.changes.create({
          apiVersion: 'v1',
          kind: 'Service',
          metadata: { name: 'probe', namespace },
          spec: { selector: ROLE, ports: [{ name: 'http', port: 8080 }] },
        })
    })
    const [a, b, stranger] = await Promise.all([
      mesh.ownProbe({ namespace: 'tenant-a', labels: ROLE }),
      mesh.ownProbe({ namespace: 'tenant-b', labels: ROLE }),
      mesh.probe({ namespace: PROBES, account: 'order-service' }),
    ])
    const linesAt = async (url: string, namespace: string): Promise<number> => {
      const path = new URL(url).pathname
      return (
        await mesh.linesOf(
          { namespace, selector: 'role=server', container: 'probe' },
          (line) => line.path === path,
        )
      ).length
    }
    const own = urlOf('tenant-a')
    saw(
      'ledger',
      'a to a',
      [(await a.call({ url: own })).status, await linesAt(own, 'tenant-a')],
      [200, 1],
    )
    const other = urlOf('tenant-b')
    saw(
      'ledger',
      'a to b, by its name',
      [(await a.call({ url: other })).status, await linesAt(other, 'tenant-b')],
      [502, 0],
    )
    const [line] = await mesh.accessLog(a.pod, ({ path }) => path === new URL(other).pathname)
    saw('envoy', 'a’s proxy: route_name', line?.route_name, 'block_all')
    const envoy = await b.envoy()
    const foreign = urlOf('tenant-b')
    const { value: answer, added } = await envoy.during(() => stranger.call({ url: foreign }))
    saw('ledger', 'a stranger to b', [answer.status, await linesAt(foreign, 'tenant-b')], [403, 0])
    saw('envoy', `b’s proxy: ${DENIED}`, added.of(DENIED), 1)
  },
)
