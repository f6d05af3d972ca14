/** What can be done to a cluster while orders flow. Each is taken back by the journal, also after Ctrl-C. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Operation } from '@oms/gate/pointers'
import { until } from '@oms/proofs/cluster/api'
import { readContainerFile } from '@oms/proofs/cluster/exec'
import type { Mesh } from '@oms/proofs/cluster/mesh'
import { OM, PSP, SERVICES, type ServiceName, SYSTEM } from '@oms/proofs/cluster/names'
import { isReady, podsOf, restart, untilRolledOut } from '@oms/proofs/cluster/pods'
import type { Action, Fault } from './scenario.ts'

const FAULTS = `/api/v1/namespaces/${OM}/configmaps/app-faults`
const FAULT_FILE = '/etc/app-faults/default'
const SEEN_WITHIN_MS = 30_000
const ROLLED_OUT_WITHIN_MS = 180_000

export function deploymentPath(name: string, namespace: string = OM): string {
  return `/apis/apps/v1/namespaces/${namespace}/deployments/${name}`
}

function istioPath(group: 'networking' | 'security', plural: string, name: string): string {
  return `/apis/${group}.istio.io/v1/namespaces/${OM}/${plural}/${name}`
}

export const INVENTORY_RETRIES = istioPath(
  'networking',
  'virtualservices',
  'inventory-service-retry',
)
export const PAYMENT_LIMITS = istioPath(
  'networking',
  'destinationrules',
  'payment-service-circuit-breaker',
)
export const ORDER_TO_PAYMENT = istioPath(
  'security',
  'authorizationpolicies',
  'allow-order-to-payment',
)

/**
 * A fault of the applications, as k8s/components/app-faults/faults.mjs has them, one a line.
 * @param lines may ask the cluster for the name of a pod.
 */
export function applications(
  what: string,
  lines: string | ((mesh: Mesh) => Promise<string>),
): Fault {
  return {
    what,
    begin: async (mesh) => setFaults(mesh, typeof lines === 'string' ? lines : await lines(mesh)),
    end: (mesh) => setFaults(mesh, ''),
  }
}

/** Resolves once every pod of the services has read it. */
async function setFaults(mesh: Mesh, lines: string): Promise<void> {
  await mesh.changes.patch(FAULTS, [{ op: 'replace', path: '/data/default', value: lines }])
  const pods = (await Promise.all(SERVICES.map((name) => mesh.pods(name)))).flat()
  await Promise.all(
    pods.map(async (pod) => {
      const { name, namespace, labels } = pod.metadata
      // A kubelet looks at the volumes of a pod that changes; else it may take a minute.
      await mesh.api.patch(`/api/v1/namespaces/${namespace}/pods/${name}`, [
        {
          op: 'add',
          path: '/metadata/annotations/loadtest.order-management.example.com~1faults',
          value: String(Date.now()),
        },
      ])
      const container = pod['spec'].containers[0].name
      await until(`${labels?.['app']}: ${name} has read its faults`, SEEN_WITHIN_MS, async () => {
        const path = `/api/v1/namespaces/${namespace}/pods/${name}`
        // One that has died reads it when it is back.
        const read = await readContainerFile(mesh.api, pod, container, FAULT_FILE).catch(
          async () => {
            const now = await mesh.api.read(path)
            return now !== undefined && isReady(now) ? '' : lines
          },
        )
        return read.trim() === lines.trim() ? true : undefined
      })
    }),
  )
}

/** Of Istio's resources; resolves once the proxies have it. */
export function patched(path: string, operations: readonly Operation[]): Action {
  return (mesh) => mesh.istiod.pushed(() => mesh.changes.patch(path, operations))
}

export function removed(path: string): Action {
  return (mesh) => mesh.istiod.pushed(() => mesh.changes.remove(path))
}

/** Resolves once pods with these variables are there, and no other. */
export function withEnvironment(
  deployment: ServiceName,
  variables: Readonly<Record<string, string>>,
): Action {
  return async (mesh) => {
    await mesh.changes.patch(
      deploymentPath(deployment),
      Object.entries(variables).map(([name, value]) => ({
        op: 'add',
        path: '/spec/template/spec/containers/0/env/-',
        value: { name, value },
      })),
    )
    await untilRolledOut(mesh.api, OM, deployment, ROLLED_OUT_WITHIN_MS)
  }
}

/** Resolves once every service has its pods: who was killed is not in the journal. */
export async function untilWhole(mesh: Mesh): Promise<void> {
  for (const name of SERVICES) await untilRolledOut(mesh.api, OM, name, ROLLED_OUT_WITHIN_MS)
}

/** Kills a pod, as a node does that goes. */
export async function killPod(mesh: Mesh, app: string, namespace: string = OM): Promise<void> {
  const [pod] = await podsOf(mesh.api, namespace, `app=${app}`)
  if (pod === undefined) throw new Error(`${app} in ${namespace} has no pod to kill.`)
  await mesh.api.remove(`/api/v1/namespaces/${namespace}/pods/${pod.metadata.name}`, 0)
}

/** Resolves once it is done. */
export async function rollOut(mesh: Mesh, deployment: string): Promise<void> {
  await restart(mesh.api, deploymentPath(deployment))
  await untilRolledOut(mesh.api, OM, deployment, ROLLED_OUT_WITHIN_MS)
}

/** Resolves once so many are there. */
export async function scale(
  mesh: Mesh,
  replicas: number,
  deployment: string,
  namespace: string,
): Promise<void> {
  const path = deploymentPath(deployment, namespace)
  await mesh.changes.patch(path, [{ op: 'replace', path: '/spec/replicas', value: replicas }])
  await untilRolledOut(mesh.api, namespace, deployment, ROLLED_OUT_WITHIN_MS)
}

export const cardProcessorAway: Fault = {
  what: 'the card processor has no pod',
  begin: (mesh) => scale(mesh, 0, 'card-processor', PSP),
  end: (mesh) => scale(mesh, 1, 'card-processor', PSP),
}

/** Each in turn, with pauses of so many milliseconds. */
export function inTurn(pauseMs: number, ...actions: readonly Action[]): Action {
  return async (mesh) => {
    for (const [at, action] of actions.entries()) {
      if (at > 0) await pause(pauseMs)
      await action(mesh)
    }
  }
}

/** All of them; resolves once one is ready again. */
export const istiodRestarts: Action = async (mesh) => {
  const pods = await podsOf(mesh.api, SYSTEM, 'app=istiod')
  const path = `/api/v1/namespaces/${SYSTEM}/pods`
  await Promise.all(pods.map(({ metadata }) => mesh.api.remove(`${path}/${metadata.name}`, 0)))
  await untilRolledOut(mesh.api, SYSTEM, 'istiod', ROLLED_OUT_WITHIN_MS)
}

/** As its StatefulSet does for a new version; resolves once it is ready again. */
export const postgresRestarts: Action = async (mesh) => {
  const path = `/api/v1/namespaces/${OM}/pods/postgres-0`
  const old = (await mesh.api.read(path))?.metadata.uid
  await mesh.api.remove(path)
  await until('postgres-0 ready again', ROLLED_OUT_WITHIN_MS, async () => {
    const pod = await mesh.api.read(path)
    const conditions: readonly { type: string; status: string }[] = pod?.['status'].conditions ?? []
    const isReady = conditions.some(({ type, status }) => type === 'Ready' && status === 'True')
    return pod?.metadata.uid !== old && isReady ? true : undefined
  })
}
