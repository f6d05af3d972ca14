/** k6 as a Job inside of the mesh, with an identity and a sidecar of its own, which ends with it. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { KubernetesObject } from '@oms/lab/kubectl'
import { pathOf } from '@oms/proofs/cluster/api'
import type { Mesh } from '@oms/proofs/cluster/mesh'
import { INGRESS } from '@oms/proofs/cluster/names'
import { LoadtestError } from './errors.ts'
import { hearLine, type K6, RUN, SCRIPTS } from './k6.ts'
import type { StartK6 } from './run.ts'
import type { Target } from './target.ts'

const LOADS = 'oms-load'
const NAME = 'k6'
const IMAGE = 'docker.io/grafana/k6:1.8.1'
const GATEWAY = `istio-ingressgateway.${INGRESS}.svc.cluster.local`
const POLL_MS = 1000
const STARTS_WITHIN_MS = 90_000

interface JobOptions extends StartK6 {
  readonly mesh: Mesh
  readonly target: Target
}

/** What it makes is taken back with the cluster's other changes. */
export function startJob({ mesh, target, plan, onTold, onNoise }: JobOptions): K6 {
  let isStopped = false
  const name = `${NAME}-${Date.now().toString(36)}`

  async function live(): Promise<number> {
    const service = await mesh.api.read(
      `/api/v1/namespaces/${INGRESS}/services/istio-ingressgateway`,
    )
    const { hostname } = new URL(plan.url)
    const hosts = { [hostname]: `${service?.['spec'].clusterIP}:443` }
    const objects = objectsOf(name, { ...plan, hosts }, target.authority)
    for (const object of objects) await mesh.changes.create(object)
    const job = pathOf(objects.at(-1) as KubernetesObject)
    const pods = `/api/v1/namespaces/${LOADS}/pods`
    let heard = 0
    const until = Date.now() + STARTS_WITHIN_MS
    for (;;) {
      const [pod] = await mesh.api.list(`${pods}?labelSelector=job-name%3D${name}`)
      const state = stateOf(pod)
      if (pod !== undefined && state !== undefined) {
        const path = `${pods}/${pod.metadata.name}/log?container=${NAME}`
        const lines = (await mesh.api.text(path)).split('\n').slice(0, -1)
        for (const line of lines.slice(heard)) hearLine(line, onTold, onNoise)
        heard = lines.length
      } else if (Date.now() > until)
        throw new LoadtestError(
          `The Job ${LOADS}/${name} has no running pod after 90 s: ${describe(pod)}`,
        )
      const status = (await mesh.api.read(job))?.['status']
      const isDone = (status?.succeeded ?? 0) + (status?.failed ?? 0) > 0
      if (isStopped) return 1
      // The Job counts a pod when its last container has ended, the sidecar with it.
      if (isDone && state?.terminated !== undefined) return state.terminated.exitCode
      await pause(POLL_MS)
    }
  }

  return { ended: live(), stop: () => (isStopped = true) }
}

interface State {
  readonly terminated?: { readonly exitCode: number }
}

/** Of k6; undefined before it begins. */
function stateOf(pod: KubernetesObject | undefined): State | undefined {
  const all: readonly { name: string; state: State & { waiting?: object } }[] =
    pod?.['status'].containerStatuses ?? []
  const state = all.find(({ name }) => name === NAME)?.state
  return state?.waiting === undefined ? state : undefined
}

function describe(pod: KubernetesObject | undefined): string {
  return pod === undefined ? 'no pod' : JSON.stringify(pod['status'].containerStatuses ?? [])
}

function objectsOf(
  name: string,
  plan: StartK6['plan'],
  authority: string | undefined,
): readonly KubernetesObject[] {
  const scripts = readdirSync(SCRIPTS).map((file) => [
    file,
    readFileSync(join(SCRIPTS, file), 'utf8'),
  ])
  const ca = authority === undefined ? {} : { 'ca.crt': readFileSync(authority, 'utf8') }
  const files = { ...Object.fromEntries(scripts), ...ca, 'plan.json': JSON.stringify(plan) }
  return [
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: LOADS, labels: { 'istio-injection': 'enabled' } },
    },
    {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: NAME, namespace: LOADS },
    },
    // A client of the gateway brings its own TLS; the mesh's would be a second one around it.
    {
      apiVersion: 'networking.istio.io/v1',
      kind: 'DestinationRule',
      metadata: { name: 'gateway-as-from-outside', namespace: LOADS },
      spec: { host: GATEWAY, exportTo: ['.'], trafficPolicy: { tls: { mode: 'DISABLE' } } },
    },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: LOADS }, data: files },
    {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name, namespace: LOADS },
      spec: {
        backoffLimit: 0,
        template: {
          metadata: { labels: { app: NAME } },
          spec: {
            serviceAccountName: NAME,
            automountServiceAccountToken: false,
            restartPolicy: 'Never',
            securityContext: {
              runAsNonRoot: true,
              runAsUser: 12_345,
              seccompProfile: { type: 'RuntimeDefault' },
            },
            containers: [
              {
                name: NAME,
                image: IMAGE,
                args: [...RUN, '/loadtest/journeys.ts'],
                env: [
                  { name: 'PLAN', valueFrom: { configMapKeyRef: { name, key: 'plan.json' } } },
                  ...(authority === undefined
                    ? []
                    : [{ name: 'SSL_CERT_FILE', value: '/loadtest/ca.crt' }]),
                ],
                resources: {
                  requests: { cpu: '100m', memory: '256Mi' },
                  limits: { memory: '2Gi' },
                },
                securityContext: {
                  allowPrivilegeEscalation: false,
                  readOnlyRootFilesystem: true,
                  capabilities: { drop: ['ALL'] },
                },
                volumeMounts: [{ name: 'scripts', mountPath: '/loadtest', readOnly: true }],
              },
            ],
            volumes: [{ name: 'scripts', configMap: { name } }],
          },
        },
      },
    },
  ]
}
