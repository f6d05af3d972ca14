/** Callers of the ingress gateway: many at once, and one request that is known again by the id of its trace. */
import { randomBytes } from 'node:crypto'
import { type Line, untilLines } from './ledger.ts'
import type { Mesh } from './mesh.ts'
import { EXTERNAL, GATEWAY_HOST, INGRESS, type ServiceName } from './names.ts'
import type { Answer, Call, Pace } from './probe.ts'

const GATEWAY_URL = `https://istio-ingressgateway.${INGRESS}.svc.cluster.local`
/** Its account of who got past the token and the policy. */
export const GATEWAY_HTTP = 'http.outbound_0.0.0.0_8443;.'

interface GatewayLoad extends Omit<Call, 'url' | 'servername' | 'insecure'> {
  readonly path: string
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
  const calls = loads.map(
    ({ path, tenant, headers, ...call }): Call => ({
      ...call,
      url: `${GATEWAY_URL}${path}`,
      servername: GATEWAY_HOST,
      insecure: true,
      headers: {
        host: GATEWAY_HOST,
        authorization: `Bearer ${tokens.get(tenant)}`,
        ...headers,
      },
    }),
  )
  return outside.calls(calls, pace)
}

export interface TraceHead {
  readonly traceId: string
  readonly spanId: string
  readonly headers: Readonly<Record<string, string>>
}

/** Of a caller that sends no span itself. Envoy obeys it in place of its own dice. */
export function traceHead(sampled: boolean): TraceHead {
  const traceId = randomBytes(16).toString('hex')
  const spanId = randomBytes(8).toString('hex')
  const b3 = { 'x-b3-traceid': traceId, 'x-b3-spanid': spanId, 'x-b3-sampled': sampled ? '1' : '0' }
  const traceparent = `00-${traceId}-${spanId}-0${sampled ? '1' : '0'}`
  return { traceId, spanId, headers: { ...b3, traceparent } }
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
