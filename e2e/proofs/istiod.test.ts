/** The control plane: it may lose a pod, and no more than one at once. */
import { ApiError, until } from './cluster/api.ts'
import type { Envoy } from './cluster/envoy.ts'
import { threeIstiods } from './cluster/istiods.ts'
import { OM, PAYMENT_ROUTES, SYSTEM } from './cluster/names.ts'
import { chargeOf, linesOf, paymentCaller, readOf } from './cluster/payment.ts'
import { podsOf } from './cluster/pods.ts'
import { atMost, proof } from './proof.ts'

/** Milliseconds that a change may take to reach a proxy whose istiod has just died. */
const CHANGED_WITHIN_MS = 5000

proof(
  'istiod.ha',
  {
    promise: 'An istiod may go: its proxies go on, find another, and get a change within 5 s.',
    manifests: ['istio-control-plane/istio.yaml'],
    fields: ['Istio default spec.values.pilot.autoscaleMin'],
    timeoutMs: 180_000,
  },
  async (mesh, saw) => {
    await threeIstiods(mesh)
    const ready = await podsOf(mesh.api, SYSTEM, 'app=istiod')
    saw('kubernetes', 'istiod: pods', ready.length, 3)
    const caller = await paymentCaller(mesh)
    const envoy = await caller.envoy()
    const victim = await mesh.istiod.serving(caller.name)
    if (victim === undefined) throw new Error(`${caller.name} has no istiod`)
    const charges = Array.from({ length: 60 }, () => chargeOf())
    const calling = caller.calls(charges, { everyMs: 100 })
    // Told to end, as by a rollout or a drain: of one that falls silent the network alone can tell, in its own time.
    await mesh.api.remove(`/api/v1/namespaces/${SYSTEM}/pods/${victim}`)
    const startedAt = performance.now()
    // One that goes may still have told of the change.
    await until('another istiod', 30_000, async () => {
      const found = await mesh.istiod.serving(caller.name)
      return found === victim ? undefined : found
    })
    await mesh.changes.patch(PAYMENT_ROUTES, [
      { op: 'replace', path: '/spec/http/0/retries/attempts', value: 1 },
    ])
    const reached = await until(
      'the change at the proxy',
      30_000,
      async () => ((await retriesOfPayments(envoy)) === 1 ? performance.now() : undefined),
      100,
    )
    saw(
      'envoy',
      'caller: milliseconds to the change',
      Math.round(reached - startedAt),
      atMost(CHANGED_WITHIN_MS),
    )
    saw(
      'envoy',
      'caller: control_plane.connected_state',
      (await envoy.stats()).of('control_plane.connected_state'),
      1,
    )
    const answers = await calling
    saw(
      'ledger',
      'charges that were neither made nor taken (202) meanwhile',
      answers.filter(({ status }) => status !== 201 && status !== 202).length,
      0,
    )
    const read = readOf({ fault: 'status=503' })
    await caller.call(read)
    saw(
      'ledger',
      'payment-service: tries by the changed rule',
      (await linesOf(mesh, read, 2)).length,
      2,
    )
  },
)

/** As a proxy has them; it has other routes, with retries of their own. */
async function retriesOfPayments(envoy: Envoy): Promise<number | undefined> {
  const dump = JSON.parse(await envoy.get('/config_dump?resource=dynamic_route_configs'))
  const hosts: readonly VirtualHost[] = dump.configs.flatMap(
    (config: { route_config: { virtual_hosts?: VirtualHost[] } }) =>
      config.route_config.virtual_hosts ?? [],
  )
  const payments = hosts.find(({ name }) => name.startsWith(`payment-service.${OM}.`))
  return payments?.routes[0]?.route.retry_policy?.num_retries
}

interface VirtualHost {
  readonly name: string
  readonly routes: readonly {
    readonly route: { readonly retry_policy?: { num_retries: number } }
  }[]
}

proof(
  'istiod.pdb',
  {
    promise: 'Of the istiods one may be evicted; the next eviction waits until it is back.',
    manifests: ['istio-control-plane/istiod-pdb.yaml'],
    fields: ['PodDisruptionBudget istio-system/istiod-pdb spec'],
    timeoutMs: 180_000,
  },
  async (mesh, saw) => {
    await threeIstiods(mesh)
    const [first, second] = await podsOf(mesh.api, SYSTEM, 'app=istiod')
    const evict = async (name: string | undefined): Promise<number> => {
      try {
        await mesh.api.text(`/api/v1/namespaces/${SYSTEM}/pods/${name}/eviction`, {
          method: 'POST',
          body: {
            apiVersion: 'policy/v1',
            kind: 'Eviction',
            metadata: { name, namespace: SYSTEM },
          },
        })
        return 201
      } catch (error) {
        if (error instanceof ApiError) return error.status
        throw error
      }
    }
    saw(
      'kubernetes',
      'two evictions at once',
      [await evict(first?.metadata.name), await evict(second?.metadata.name)],
      [201, 429],
    )
    const budget = await mesh.api.read(
      `/apis/policy/v1/namespaces/${SYSTEM}/poddisruptionbudgets/istiod-pdb`,
    )
    saw('kubernetes', 'disruptionsAllowed', budget?.['status'].disruptionsAllowed, 0)
  },
)
