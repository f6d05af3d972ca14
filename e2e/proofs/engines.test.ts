/** What others of the cluster keep, where it has them: the network, Argo CD. */
import { until } from './cluster/api.ts'
import { GATEWAY_ROUTES, withCanary } from './cluster/canary.ts'
import type { Mesh } from './cluster/mesh.ts'
import { EXTERNAL, NO_CHAIN, OM, SERVICES } from './cluster/names.ts'
import { podsOf } from './cluster/pods.ts'
import { proof } from './proof.ts'

proof(
  'netpol.matrix',
  {
    promise: 'The network refuses who comes from outside to a pod’s address, before any proxy.',
    manifests: ['apps/networkpolicies.yaml'],
    fields: ['NetworkPolicy default-deny spec'],
    needs: ['networkPolicy'],
  },
  async (mesh, saw) => {
    const outside = await mesh.probe({ namespace: EXTERNAL, injected: false })
    const other = await mesh.probe({ namespace: EXTERNAL, injected: false })
    const connects = async (host: string, port: number): Promise<boolean> =>
      (await outside.dial({ host, port, timeoutMs: 2000 })).connected
    saw('ledger', 'a connection to a pod without policies', await connects(other.ip, 8080), true)
    const { envoy } = await mesh.onePod('payment-service')
    const { added } = await envoy.during(async () => {
      for (const [app, port] of [...SERVICES.map((name) => [name, 8080] as const), POSTGRES])
        for (const pod of await podsOf(mesh.api, OM, `app=${app}`))
          saw('ledger', `a connection to ${app}`, await connects(pod['status'].podIP, port), false)
    })
    saw('envoy', `payment-service: ${NO_CHAIN}`, added.of(NO_CHAIN), 0)
  },
)

const POSTGRES = ['postgres', 5432] as const
const APPLICATION = '/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/istio-config'
const REFRESH = 'argocd.argoproj.io/refresh'
const LOOKED_WITHIN_MS = 45_000

proof(
  'argocd.weights',
  {
    promise: 'Argo CD leaves the weights of a rollout where the rollout has put them.',
    manifests: ['istio-config/application.yaml'],
    fields: ['Application istio-config spec.ignoreDifferences'],
    needs: ['argocd'],
  },
  async (mesh, saw) => {
    await withCanary(mesh)
    const weighted = await weightedOf(mesh)
    await mesh.changes.patch(GATEWAY_ROUTES, [
      { op: 'replace', path: `${weighted.path}/0/weight`, value: 90 },
      { op: 'replace', path: `${weighted.path}/1/weight`, value: 10 },
    ])
    await mesh.changes.patch(APPLICATION, [
      { op: 'add', path: `/metadata/annotations/${REFRESH.replace('/', '~1')}`, value: 'normal' },
    ])
    // Argo CD takes the mark away once it has compared.
    const application = await until('Argo CD has looked', LOOKED_WITHIN_MS, async () => {
      const found = await mesh.api.read(APPLICATION)
      return found?.metadata.annotations?.[REFRESH] === undefined ? found : undefined
    })
    saw('kubernetes', 'the Application', application['status'].sync.status, 'Synced')
    saw('kubernetes', 'the weights', (await weightedOf(mesh)).weights, [90, 10])
  },
)

/** Where the route with weights stands, and what they are. */
async function weightedOf(mesh: Mesh) {
  const routes = await mesh.api.read(GATEWAY_ROUTES)
  const all: readonly { readonly name: string; readonly route: readonly { weight: number }[] }[] =
    routes?.['spec'].http ?? []
  const at = all.findIndex(({ name }) => name === 'weighted')
  return { path: `/spec/http/${at}/route`, weights: all[at]?.route.map(({ weight }) => weight) }
}
