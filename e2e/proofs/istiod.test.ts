/** The control plane: it may lose a pod, and no more than one at once. */
import { ApiError, until, untilEnough } from './cluster/api.ts'
import type { Envoy } from './cluster/envoy.ts'
import { threeIstiods } from './cluster/istiods.ts'
import { median } from './cluster/measure.ts'
import type { Mesh } from './cluster/mesh.ts'
import { OM, PAYMENT_ROUTES, SYSTEM } from './cluster/names.ts'
import { chargeOf, linesOf, paymentCaller, readOf } from './cluster/payment.ts'
import { podsOf } from './cluster/pods.ts'
import { atMost, proof } from './proof.ts'

/** Half of the proxies of an istiod that goes have another by then, and a change reaches one that has. */
const WITHIN_MS = 5000
/** The Service may lead one to the istiod that has gone: gRPC gives a connection 20 s to come about (decision 27). */
const LAST_WITHIN_MS = 25_000

proof(
  'istiod.ha',
  {
    promise:
      'An istiod may go: its proxies go on, find another, half of them within 5 s, and get changes.',
    manifests: ['istio-control-plane/istio.yaml'],
    fields: ['Istio default spec.values.pilot.autoscaleMin'],
    timeoutMs: 180_000,
  },
  async (mesh, saw) => {
    // Before the others are there: it is with the one that serves them all.
    const caller = await paymentCaller(mesh)
    await threeIstiods(mesh)
    const ready = await podsOf(mesh.api, SYSTEM, 'app=istiod')
    saw('kubernetes', 'istiod: pods', ready.length, 3)
    const envoy = await caller.envoy()
    const streams = await mesh.istiod.streams()
    const victim = streams.get(`${caller.name}.${OM}`)
    if (victim === undefined) throw new Error(`${caller.name} has no istiod`)
    const pods = await mesh.api.list('/api/v1/pods')
    const served = pods
      .map(({ metadata: { name, namespace } }) => `${name}.${namespace}`)
      .filter((proxy) => streams.get(proxy) === victim)
    const charges = (length: number) => Array.from({ length }, () => chargeOf())
    // 2 s of calls: kube-proxy takes up what changes of a Service once a second, and those that are new here are such.
    const before = await caller.calls(charges(20), { everyMs: 100 })
    const calling = caller.calls(charges(60), { everyMs: 100 })
    // Told to end, as by a rollout or a drain: of one that falls silent the network alone can tell, in its own time.
    await mesh.api.remove(`/api/v1/namespaces/${SYSTEM}/pods/${victim}`)
    const found = await untilFound(mesh, served, victim)
    const what = `milliseconds until ${served.length} proxies have another`
    saw('istiod', `${what}: median`, median(found), atMost(WITHIN_MS))
    saw('istiod', `${what}: the last`, Math.max(...found), atMost(LAST_WITHIN_MS))
    await mesh.changes.patch(PAYMENT_ROUTES, [
      { op: 'replace', path: '/spec/http/0/retries/attempts', value: 1 },
    ])
    const changedAt = performance.now()
    const reached = await until(
      'the change at the proxy',
      30_000,
      async () => ((await retriesOfPayments(envoy)) === 1 ? performance.now() : undefined),
      100,
    )
    saw(
      'envoy',
      'caller: milliseconds to a change',
      Math.round(reached - changedAt),
      atMost(WITHIN_MS),
    )
    saw(
      'envoy',
      'caller: control_plane.connected_state',
      (await envoy.stats()).of('control_plane.connected_state'),
      1,
    )
    const answers = [...before, ...(await calling)]
    saw(
      'ledger',
      'charges that were neither made nor taken (202), before and meanwhile',
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

/** Milliseconds from now until each has a stream to another; of one that does not find any, more than it may take. */
async function untilFound(
  { istiod }: Mesh,
  served: readonly string[],
  victim: string,
): Promise<readonly number[]> {
  const startedAt = performance.now()
  const found = new Map<string, number>()
  await untilEnough(
    LAST_WITHIN_MS,
    async () => {
      const streams = await istiod.streams()
      const ms = Math.round(performance.now() - startedAt)
      for (const proxy of served) {
        const at = streams.get(proxy)
        if (at !== undefined && at !== victim && !found.has(proxy)) found.set(proxy, ms)
      }
      return found.size
    },
    (size) => size === served.length,
  )
  return served.map((proxy) => found.get(proxy) ?? LAST_WITHIN_MS + 1)
}

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
