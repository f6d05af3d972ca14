/** The cluster as the proofs see it: services with their ledgers and proxies, probes, a way in through the gateway. */
import { randomUUID } from 'node:crypto'
import { type Api, createApi, type KubernetesObject, untilEnough } from './api.ts'
import { type Capabilities, detectCapabilities } from './capabilities.ts'
import { type Changes, openJournal } from './changes.ts'
import { type Envoy, openEnvoy, together } from './envoy.ts'
import { type GatewayCall, throughGateway } from './ingress.ts'
import { createIstiod, type Istiod } from './istiod.ts'
import { type LedgerOf, type Line, ledgerOf, probesLedger, readLedger } from './ledger.ts'
import { EXTERNAL, INGRESS, OM, PROBES, PSP, type ServiceName } from './names.ts'
import { logLines, podsOf, untilRolledOut } from './pods.ts'
import { type Answer, createProbe, type Probe, type ProbeOptions } from './probe.ts'
import { readTarget, type Target } from './target.ts'
import { signerOf, type TokenOptions } from './token.ts'
import { warmingIn } from './warming.ts'

export interface Mesh {
  readonly api: Api
  readonly target: Target
  readonly capabilities: Capabilities
  readonly changes: Changes
  /** Of what several proofs use: taken back when the run ends. */
  changesOf(owner: string): Changes
  readonly istiod: Istiod
  /** One for each identity, for all proofs that do not mind what it did before. */
  probe(options: ProbeOptions): Promise<Probe>
  /** Its proxy has seen nothing yet; gone after the proof. */
  freshProbe(options: ProbeOptions): Promise<Probe>
  /** As `freshProbe`, where nobody else needs one like it. */
  ownProbe(options: ProbeOptions): Promise<Probe>
  pods(app: string, namespace?: string): Promise<readonly KubernetesObject[]>
  /** Of each pod, in the order of `pods`. */
  envoys(app: string, namespace?: string): Promise<readonly Envoy[]>
  envoysOf(selector: string, namespace: string): Promise<readonly Envoy[]>
  envoyOf(pod: KubernetesObject): Promise<Envoy>
  /** Any one of its pods. @throws Error where there is none. */
  onePod(app: string, namespace?: string): Promise<Placed>
  /** Lines of a service since the proof began. */
  lines(service: ServiceName | 'probe', wanted: (line: Line) => boolean): Promise<readonly Line[]>
  /** Of any workload that writes such lines. */
  linesOf(of: LedgerOf, wanted: (line: Line) => boolean): Promise<readonly Line[]>
  /** From outside of the mesh. @param tenant of the token; none: no token. */
  gateway(call: GatewayCall & { readonly tenant?: string }): Promise<Answer>
  /** All pods that a selector finds as one. @throws Error where there is none. */
  envoyOfAll(selector: string, namespace: string): Promise<Envoy>
  /** All of the ingress gateway as one. */
  gatewayEnvoy(): Promise<Envoy>
  token(options: TokenOptions): Promise<string>
  /** Charges or refunds in the card processor's own ledger. */
  processorLedger(kind: 'charges' | 'refunds', order: OrderName): Promise<readonly ProcessorEntry[]>
  /** Of a pod's proxy, since the proof began. */
  accessLog(
    pod: KubernetesObject,
    wanted: (line: AccessLine) => boolean,
  ): Promise<readonly AccessLine[]>
  /** Takes back what the proof changed, removes its fresh probes. */
  end(): Promise<void>
}

export interface Placed {
  readonly pod: KubernetesObject
  readonly ip: string
  readonly envoy: Envoy
}

export interface OrderName {
  readonly tenant: string
  readonly orderId: string
}

export interface ProcessorEntry {
  readonly id: string
  readonly idempotency_key: string
  readonly status: string
}

/** A line of Envoy's access log, as Istio writes it in JSON. */
export interface AccessLine {
  /** When the request began. ISO 8601. */
  readonly start_time: string
  readonly response_code: number
  readonly response_flags: string
  readonly response_code_details: string | null
  readonly path: string | null
  readonly duration: number
  readonly route_name: string | null
  readonly upstream_cluster: string | null
  readonly request_id: string | null
}

/** What all proofs share. */
interface Connection {
  /** A new proof begins. */
  begin(name: string): Mesh
  /** Removes every probe: the next ones are made anew. */
  forget(): Promise<void>
  /** Resolves once no proxy that was read so far still prepares what it was told, or after 5 s. */
  settled(): Promise<void>
}

const INJECT = 'sidecar.istio.io/inject'
/** What waits for something that is not there waits on: its proof says so. */
const SETTLED_WITHIN_MS = 5000
/** A pod that ends may take its grace of 60 s. */
const RESTORED_WITHIN_MS = 120_000
/** Each proxy watches files, and a user of Linux has 128 such watchers (inotify): enough for about forty proxies. */
const SHARED_AT_MOST = 16

let opened: Promise<Connection> | undefined

/** One for the whole run. */
export function openMesh(): Promise<Connection> {
  opened ??= connect(readTarget())
  return opened
}

async function connect(target: Target): Promise<Connection> {
  const api = createApi(target.context, target.kubeconfig)
  const journal = openJournal(api, target.journal)
  const { image, deployment } = await productOn(api)
  const shared = new Map<string, Promise<Probe>>()
  const proxies = new Map<string, Promise<Envoy>>()
  const signer = signerOf(target)
  const spares = new Map<string, Promise<Probe>>()
  const capabilities = await detectCapabilities(api, target)
  const istiod = createIstiod(api)

  async function probe(options: ProbeOptions): Promise<Probe> {
    const key = JSON.stringify(options)
    const known = shared.get(key) ?? createProbe(api, image, options)
    // The last one is the one used last.
    shared.delete(key)
    shared.set(key, known)
    const [oldest] = shared
    if (shared.size > SHARED_AT_MOST && oldest !== undefined) {
      shared.delete(oldest[0])
      void oldest[1].then((each) => each.remove())
    }
    return known
  }

  async function proxyOf(pod: KubernetesObject): Promise<Envoy> {
    const key = `${pod.metadata.namespace}/${pod.metadata.name}`
    const known = proxies.get(key) ?? openEnvoy(api, pod)
    proxies.set(key, known)
    return known
  }

  async function envoysOf(selector: string, namespace: string): Promise<readonly Envoy[]> {
    return Promise.all((await podsOf(api, namespace, selector)).map(proxyOf))
  }

  const podsFor = (app: string, namespace = OM) => podsOf(api, namespace, `app=${app}`)

  async function gateway({
    tenant,
    ...call
  }: GatewayCall & { readonly tenant?: string }): Promise<Answer> {
    const outside = await probe({ namespace: EXTERNAL, injected: false })
    const token = tenant === undefined ? undefined : await signer({ tenant })
    return outside.call(throughGateway(call, token))
  }

  /** The next one is begun at once: a pod takes seconds to get ready. */
  async function takeSpare(options: ProbeOptions): Promise<Probe> {
    const key = JSON.stringify(options)
    const taken = spares.get(key) ?? createProbe(api, image, options)
    const next = createProbe(api, image, options)
    // Whoever takes it is told.
    next.catch(() => undefined)
    spares.set(key, next)
    return taken
  }

  async function processorLedger(
    kind: 'charges' | 'refunds',
    { tenant, orderId }: OrderName,
  ): Promise<readonly ProcessorEntry[]> {
    const outside = await probe({ namespace: EXTERNAL, injected: false })
    const reference = `oms:${deployment}:${tenant}:${orderId}`
    const query = new URLSearchParams({ merchant_reference: reference })
    const answer = await outside.call({
      url: `https://card-processor.${PSP}.svc.cluster.local/v1/${kind}?${query}`,
      insecure: true,
    })
    if (answer.status !== 200)
      throw new Error(`The card processor: ${answer.status} ${answer.text} ${answer.error}`)
    return JSON.parse(answer.text).data
  }

  async function envoyOfAll(selector: string, namespace: string): Promise<Envoy> {
    const [first, ...others] = await envoysOf(selector, namespace)
    if (first === undefined) throw new Error(`There is no pod of ${selector} in ${namespace}.`)
    return together([first, ...others])
  }

  /** The next proof begins with the configuration as it was. */
  async function takeBack(changes: Changes): Promise<void> {
    if (!changes.concernProxies()) return changes.undo()
    let undone = Promise.resolve()
    const undo = (): Promise<void> => {
      undone = changes.undo()
      return undone
    }
    // What no proxy has makes no push.
    await istiod.pushed(undo).catch(() => undefined)
    await undone
  }

  function begin(name: string): Mesh {
    const sinceMs = Date.now()
    const changes = journal.changesOf(name)
    const fresh: Probe[] = []
    const own = (probe: Probe): Probe => {
      fresh.push(probe)
      return probe
    }
    const lent = new Set<Probe>()
    return {
      api,
      target,
      capabilities,
      changes,
      changesOf: journal.changesOf,
      istiod,
      async probe(options) {
        const known = await probe(options)
        lent.add(known)
        return known
      },
      async freshProbe(options) {
        return own(await takeSpare(options))
      },
      async ownProbe(options) {
        return own(await createProbe(api, image, options))
      },
      linesOf: (of, wanted) => readLedger(api, of, sinceMs, wanted),
      pods: podsFor,
      envoys: (app, namespace = OM) => envoysOf(`app=${app}`, namespace),
      envoysOf,
      envoyOf: proxyOf,
      async onePod(app, namespace = OM) {
        const [pod] = await podsFor(app, namespace)
        if (pod === undefined) throw new Error(`${app} in ${namespace} has no pod.`)
        return { pod, ip: pod['status'].podIP, envoy: await proxyOf(pod) }
      },
      lines(service, wanted) {
        const of = service === 'probe' ? probesLedger(PROBES) : ledgerOf(service)
        return readLedger(api, of, sinceMs, wanted)
      },
      async accessLog(pod, wanted) {
        const lines = await logLines(api, pod, 'istio-proxy', sinceMs)
        return (lines as unknown as readonly AccessLine[]).filter(
          (line) => Date.parse(line.start_time) >= sinceMs && wanted(line),
        )
      },
      gateway,
      envoyOfAll,
      gatewayEnvoy: () => envoyOfAll('istio=ingressgateway', INGRESS),
      token: signer,
      processorLedger,
      async end() {
        await Promise.all(fresh.map((each) => each.remove()))
        // A gateway that ends would wait for them.
        await Promise.all([...lent].map((each) => each.release()))
        const touched = changes.deployments()
        await takeBack(changes)
        for (const each of touched) {
          const [namespace, name] = each.split('/') as [string, string]
          await untilRolledOut(api, namespace, name, RESTORED_WITHIN_MS)
        }
      },
    }
  }

  async function forget(): Promise<void> {
    const all = [...shared.values(), ...spares.values()]
    shared.clear()
    spares.clear()
    await Promise.all(all.map(async (each) => (await each.catch(() => undefined))?.remove()))
  }

  async function settled(): Promise<void> {
    const probes = await Promise.all([...shared.values(), ...spares.values()])
    const injected = probes.filter(({ pod }) => pod.metadata.labels?.[INJECT] === 'true')
    const envoys = await Promise.all([...proxies.values(), ...injected.map((each) => each.envoy())])
    await Promise.all(
      envoys.map((envoy) =>
        // A pod that has gone prepares nothing.
        untilEnough(
          SETTLED_WITHIN_MS,
          () => warmingIn(envoy).catch(() => 0),
          (warming) => warming === 0,
        ),
      ),
    )
  }

  return { begin, forget, settled }
}

/** Every image of the product has Node: the probe's program is a ConfigMap's. */
async function productOn(
  api: Api,
): Promise<{ readonly image: string; readonly deployment: string }> {
  const found = await api.read(`/apis/apps/v1/namespaces/${OM}/deployments/payment-service`)
  if (found === undefined) throw new Error(`There is no Deployment ${OM}/payment-service.`)
  const { image, env } = found['spec'].template.spec.containers[0]
  const { value } = env.find(({ name }: { name: string }) => name === 'DEPLOYMENT')
  return { image, deployment: value }
}

/** Ids of an order that nobody else has. */
export function newOrderId(): string {
  return randomUUID()
}
