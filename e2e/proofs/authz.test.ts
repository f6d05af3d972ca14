/** Who may call whom: nobody, but as e2e/authz-matrix.ts says. */
import { flagsOf } from './cluster/measure.ts'
import { PROBES } from './cluster/names.ts'
import { probeServer, SERVER_URL } from './cluster/server.ts'
import { proof } from './proof.ts'

const FILE = 'istio-config/authorizationpolicy-default-deny.yaml'
const DENIED = 'http.inbound_0.0.0.0_8080;.rbac.denied'

proof(
  'authz.default-deny',
  {
    promise: 'Where no policy speaks nobody is let in, in any namespace of the mesh.',
    manifests: [FILE],
    fields: ['AuthorizationPolicy istio-system/deny-all spec'],
  },
  async (mesh, saw) => {
    const [server, caller] = [
      await probeServer(mesh),
      await mesh.probe({ namespace: PROBES, account: 'order-service' }),
    ]
    const envoy = await server.envoy()
    const path = `/${crypto.randomUUID()}`
    const { value: answer, added } = await envoy.during(() =>
      caller.call({ url: `${SERVER_URL}${path}` }),
    )
    saw('ledger', 'the caller’s answer', [answer.status, answer.text], [403, 'RBAC: access denied'])
    saw(
      'ledger',
      'the called pod: lines',
      (await mesh.lines('probe', (line) => line.path === path)).length,
      0,
    )
    saw('envoy', `the called pod: ${DENIED}`, added.of(DENIED), 1)
    const details = (await mesh.accessLog(server.pod, (line) => line.path === path)).length
    void details
    saw('envoy', 'the called pod: flags', await flagsOf(mesh, server.pod, path), ['-'])
  },
)
