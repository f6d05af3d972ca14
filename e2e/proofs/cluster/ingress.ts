/** Callers of the ingress gateway: many at once, and one request that is known again by the id of its trace. */
import { randomBytes } from 'node:crypto'
import type { TraceHead } from '@oms/lab/trace'
import type { KubernetesObject } from './api.ts'
import { type Line, untilLines } from './ledger.ts'
import type { AccessLine, Mesh } from './mesh.ts'
import { EXTERNAL, GATEWAY_HOST, INGRESS, type ServiceName } from './names.ts'
import { podsOf } from './pods.ts'
import type { Answer, Call, Pace } from './probe.ts'

const GATEWAY_URL = `https://istio-ingressgateway.${INGRESS}.svc.cluster.local`

export interface GatewayCall extends Omit<Call, 'url' | 'servername' | 'insecure'> {
  readonly path: string
}

/** What a client outside of the mesh sends. @param token none: without one. */
export function throughGateway(
  { path, headers, ...call }: GatewayCall,
  token: string | undefined,
): Call {
  return {
    ...call,
    url: `${GATEWAY_URL}${path}`,
    servername: GATEWAY_HOST,
    insecure: true,
    headers: {
      host: GATEWAY_HOST,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
  }
}

interface GatewayLoad extends GatewayCall {
  readonly tenant: string
}

/** As `mesh.gateway` does it, of one tenant's tokens. */
export async function gatewayCalls(
  mesh: Mesh,
  loads: readonly GatewayLoad[],
  pace?: Pace,
): Promise<readonly Answer[]> {
  const outside = await mesh.probe({ namespace: EXTERNAL, injected: false })
  const tokens = new Map<string, string>()
  for (const { tenant } of loads)
    if (!tokens.has(tenant)) tokens.set(tenant, await mesh.token({ tenant }))
  const calls = loads.map(({ tenant, ...call }) => throughGateway(call, tokens.get(tenant)))
  return outside.calls(calls, pace)
}

export function gatewayPods({ api }: Mesh): Promise<readonly KubernetesObject[]> {
  return podsOf(api, INGRESS, 'istio=ingressgateway')
}

/** Of all its pods. */
export async function gatewayLog(
  mesh: Mesh,
  wanted: (line: AccessLine) => boolean,
): Promise<readonly AccessLine[]> {
  const pods = await gatewayPods(mesh)
  return (await Promise.all(pods.map((pod) => mesh.accessLog(pod, wanted)))).flat()
}

/** A tenant that nobody else has: known again in every line. It has no prices, and no orders. */
export function newTenant(): string {
  return `proof-${randomBytes(8).toString('hex')}`
}

/** A tenant's requests to a service: `expected` of them, or what is there after 5 s. */
export function linesOfTenant(
  mesh: Mesh,
  service: ServiceName,
  tenant: string,
  expected: number,
): Promise<readonly Line[]> {
  return untilLines(expected, () => mesh.lines(service, (line) => line.tenant_id === tenant))
}

/** A trace's requests to a service, alike. */
export function linesOfTrace(
  mesh: Mesh,
  service: ServiceName,
  { traceId }: TraceHead,
  expected: number,
): Promise<readonly Line[]> {
  return untilLines(expected, () => mesh.lines(service, (line) => line.trace_id === traceId))
}
