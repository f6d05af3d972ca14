/** One order through the gateway, and what the mesh and the services say of it. */
import { randomUUID } from 'node:crypto'
import { LabError } from './command.ts'
import { askGateway, GATEWAY_CA, GATEWAY_HOST } from './gateway.ts'
import { type Lab, STATE_DIR, urlOf } from './lab.ts'
import { DOORS } from './ports.ts'
import { signToken } from './token.ts'
import { drawTree, type Span, traceHead, untilWhole } from './trace.ts'

export const TENANT = 'acme'
export const ORDER = {
  currency: 'EUR',
  lines: [{ sku: 'MOKA-POT', quantity: 1 }],
  payment_token: 'pm_approve0001',
} as const

/** As Jaeger names them: Envoy's `app.namespace`, and the applications' own. */
export const TRACED_SERVICES = [
  'istio-ingressgateway.istio-ingress',
  'order-service.order-management',
  'inventory-service.order-management',
  'payment-service.order-management',
  'order-service',
  'inventory-service',
  'payment-service',
] as const

export interface TracedOrder {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
  readonly traceId: string
  /** Of the caller, which sends no span. */
  readonly callerSpanId: string
  readonly spans: readonly Span[]
}

/** @throws LabError where no answer comes. */
export async function placeTracedOrder(lab: Lab): Promise<TracedOrder> {
  const { traceId, spanId, headers } = traceHead(true)
  const token = await signToken(STATE_DIR, { tenant: TENANT })
  const answer = await askGateway(lab, {
    method: 'POST',
    path: '/api/v1/orders',
    headers: { authorization: `Bearer ${token}`, 'idempotency-key': randomUUID(), ...headers },
    body: ORDER,
  }).catch((error: Error) => {
    throw new LabError(
      `The gateway did not answer: ${error.message}. Look: pnpm lab logs istio-ingressgateway`,
    )
  })
  const spans = await untilWhole(lab, traceId, TRACED_SERVICES, spanId)
  return {
    status: answer.status,
    body: parsed(answer.text),
    traceId,
    callerSpanId: spanId,
    spans,
  }
}

function parsed(text: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(text)
  } catch {
    return { text }
  }
}

/** What `npm run lab` prints at the end. */
export function tellOrder(lab: Lab, { status, body, traceId, spans }: TracedOrder): string {
  return `POST https://${GATEWAY_HOST}/api/v1/orders → ${status}
${JSON.stringify(body, undefined, 2)}

Its path, from Jaeger (${urlOf(lab, 'jaeger')}/api/traces/${traceId}):

${drawTree(spans)}`
}

export function invite(lab: Lab): string {
  const port = DOORS.gateway.hostPort + lab.portOffset
  return `Place one yourself:

curl -i --resolve ${GATEWAY_HOST}:${port}:127.0.0.1 --cacert ${GATEWAY_CA} \\
  https://${GATEWAY_HOST}:${port}/api/v1/orders -H "authorization: Bearer $(pnpm -s token --tenant ${TENANT})" \\
  -H 'content-type: application/json' -H "idempotency-key: $(cat /proc/sys/kernel/random/uuid)" -d '${JSON.stringify(ORDER)}'

Look around: pnpm lab status · pnpm lab kubectl get pods -A · pnpm lab logs order-service
Change a service and see it: pnpm lab deploy order · The end: pnpm lab down`
}
