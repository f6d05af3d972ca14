/** What the API server admits, and what injection makes of a pod. */
import { ApiError, type KubernetesObject } from './cluster/api.ts'
import { DENIED, OM } from './cluster/names.ts'
import { chargeOf, linesOf, paymentCaller } from './cluster/payment.ts'
import { matching, proof } from './proof.ts'

const SERVICES = ['order-service', 'payment-service', 'inventory-service'] as const

interface Container {
  readonly name: string
  readonly livenessProbe?: { readonly httpGet?: { readonly port: number; readonly path: string } }
  readonly resources?: { readonly limits?: Readonly<Record<string, string>> }
  readonly restartPolicy?: string
}

function containersOf({ spec }: KubernetesObject): readonly Container[] {
  return [...(spec.initContainers ?? []), ...spec.containers]
}

/** What the API server says to a pod, which is not made. */
async function tryPod(
  create: (object: KubernetesObject) => Promise<unknown>,
  securityContext: object,
): Promise<string> {
  const pod: KubernetesObject = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'intruder', namespace: OM },
    spec: { containers: [{ name: 'intruder', image: 'intruder', securityContext }] },
  }
  try {
    await create(pod)
    return 'admitted'
  } catch (error) {
    if (error instanceof ApiError) return error.message
    throw error
  }
}

proof(
  'pss.restricted',
  {
    promise:
      'order-management admits no pod that is less than restricted; sidecars need no such pod.',
    manifests: ['apps/namespace.yaml', 'istio-control-plane/istio-cni.yaml'],
    fields: [
      'Namespace order-management pod-security.kubernetes.io/enforce',
      'Istio default spec.values.pilot.cni.enabled',
      'Deployment order-management/* spec.template.spec.securityContext',
    ],
    needs: ['cni'],
  },
  async (mesh, saw) => {
    const create = (object: KubernetesObject): Promise<unknown> =>
      mesh.api.text(`/api/v1/namespaces/${OM}/pods?dryRun=All`, { method: 'POST', body: object })
    const refusal = matching(/violates PodSecurity "restricted/)
    saw('kubernetes', 'a privileged pod', await tryPod(create, { privileged: true }), refusal)
    saw('kubernetes', 'a pod that may be root', await tryPod(create, {}), refusal)
    for (const service of SERVICES)
      for (const pod of await mesh.pods(service)) {
        const names = containersOf(pod).map(({ name }) => name)
        saw(
          'kubernetes',
          `${pod.metadata.name}: istio-validation, and no istio-init`,
          names.filter((name) => /^istio-(validation|init)$/.test(name)),
          ['istio-validation'],
        )
      }
    const caller = await paymentCaller(mesh)
    const charge = chargeOf()
    await caller.call(charge)
    const peers = (await linesOf(mesh, charge, 1)).map(({ peer }) => peer !== null)
    saw('ledger', 'traffic is redirected all the same: the callee sees a peer', peers, [true])
  },
)

/** Where the sidecar's agent answers the kubelet, outside of mTLS and RBAC. */
const AGENT_PORT = 15_020

proof(
  'health.probes',
  {
    promise:
      'The kubelet’s probes come by the agent’s port: strict mTLS and deny-all do not make pods sick.',
    manifests: ['istio-config/authorizationpolicy-default-deny.yaml', 'apps'],
    fields: ['Deployment order-management/* livenessProbe (rewritten)'],
  },
  async (mesh, saw) => {
    const { envoy } = await mesh.onePod('payment-service')
    const before = (await envoy.stats()).of(DENIED)
    for (const service of SERVICES)
      for (const pod of await mesh.pods(service)) {
        const probed = containersOf(pod).find(({ name }) => name === service)?.livenessProbe
          ?.httpGet
        saw(
          'kubernetes',
          `${pod.metadata.name}: the kubelet asks`,
          [probed?.port, probed?.path],
          [AGENT_PORT, `/app-health/${service}/livez`],
        )
        const ready = pod['status'].conditions.some(
          ({ type, status }: { type: string; status: string }) =>
            type === 'Ready' && status === 'True',
        )
        saw('kubernetes', `${pod.metadata.name}: Ready`, ready, true)
      }
    const unnamed = await mesh.lines(
      'payment-service',
      ({ path, peer }) => path === '/health' && peer === null,
    )
    saw('ledger', 'payment-service: lines of probes, which have no peer', unnamed.length, 0)
    saw('envoy', `payment-service: ${DENIED}`, (await envoy.stats()).of(DENIED) - before, 0)
  },
)

proof(
  'proxy.resources',
  {
    promise: 'Each sidecar may use two processors and 1 GiB, and has two workers.',
    manifests: ['istio-control-plane/istio.yaml'],
    fields: ['Istio default spec.values.global.proxy.resources.limits'],
  },
  async (mesh, saw) => {
    const { pod, envoy } = await mesh.probe({ namespace: OM, account: 'order-service' })
    const sidecar = containersOf(pod).find(({ name }) => name === 'istio-proxy')
    saw('kubernetes', 'limits of a new sidecar', sidecar?.resources?.limits, {
      cpu: '2',
      memory: '1Gi',
    })
    saw('envoy', 'server.concurrency', (await (await envoy()).stats()).of('server.concurrency'), 2)
  },
)
