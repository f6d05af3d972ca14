/** What callers were told, and whether it still holds. */
import type { OrderState } from '@oms/order/src/domain/order.ts'
import { TRANSITIONS } from '@oms/order/src/domain/transitions.ts'
import type { Client, OrderAnswer } from '../system/client.ts'

export interface Acknowledged extends Pick<OrderAnswer, 'status' | 'body'> {
  readonly tenant: string
}

/** By order id; the last answer of each. */
export type Acknowledgements = ReadonlyMap<string, Acknowledged>

/** Pages of `GET /orders`. */
const PAGE = 100

/** What no order changes after it was told. */
const FOR_EVER = ['currency', 'amount_minor', 'lines', 'created_at'] as const

/** Final problems tell no order, but its state. */
const STATE_OF_PROBLEM: Readonly<Record<string, OrderState>> = {
  'out-of-stock': 'rejected',
  'payment-declined': 'declined',
  'order-cancelled': 'cancelled',
}

type Body = Readonly<Record<string, unknown>>

/** Every order of a tenant, as order-service shows it. */
async function ordersOf(client: Client, tenant: string): Promise<ReadonlyMap<string, Body>> {
  const orders = new Map<string, Body>()
  let cursor = ''
  do {
    const path = `/api/v1/orders?limit=${PAGE}${cursor}`
    const { status, body, text } = await client.read(path, tenant)
    if (status !== 200) throw new Error(`GET ${path} of ${tenant} is ${status}: ${text}`)
    for (const order of body['items'] as readonly Body[])
      orders.set(String(order['order_id']), order)
    const next = body['next_cursor']
    cursor = typeof next === 'string' ? `&cursor=${next}` : ''
  } while (cursor !== '')
  return orders
}

/** One sentence for each order that is less than what was acknowledged of it. */
export async function broken(
  acknowledged: Acknowledgements,
  client: Client,
): Promise<readonly string[]> {
  const tenants = new Set([...acknowledged.values()].map(({ tenant }) => tenant))
  const stored = new Map<string, ReadonlyMap<string, Body>>()
  for (const tenant of tenants) stored.set(tenant, await ordersOf(client, tenant))
  return [...acknowledged].flatMap(([orderId, { tenant, ...answer }]) => {
    const fault = faultOf(answer, stored.get(tenant)?.get(orderId))
    return fault === undefined ? [] : [`order ${orderId} of ${tenant}: ${fault}`]
  })
}

function faultOf(
  { status, body: told }: Omit<Acknowledged, 'tenant'>,
  stored: Body | undefined,
): string | undefined {
  const toldState = stateTold(told)
  if (stored === undefined) return `told as ${toldState}, ${status}, is not there`
  const state = String(stored['state']) as OrderState
  if (!reachable(toldState).has(state)) return `told as ${toldState} is ${state}`
  const isProblem = told['state'] === undefined
  const kept = isProblem ? [] : state === toldState ? Object.keys(stored) : FOR_EVER
  const other = kept.find((name) => JSON.stringify(told[name]) !== JSON.stringify(stored[name]))
  return other === undefined
    ? undefined
    : `told with ${other} ${JSON.stringify(told[other])} has ${JSON.stringify(stored[other])}`
}

function stateTold(told: Body): OrderState {
  if (told['state'] !== undefined) return told['state'] as OrderState
  const slug = String(told['type']).split('/').at(-1) ?? ''
  const state = STATE_OF_PROBLEM[slug]
  if (state === undefined) throw new Error(`an answer of type ${told['type']} acknowledges nothing`)
  return state
}

/** `from` and whatever the protocol makes of it. */
function reachable(from: OrderState): ReadonlySet<OrderState> {
  const states = new Set([from])
  // A set that grows while it is walked visits what it gains.
  for (const state of states)
    for (const transition of TRANSITIONS)
      if (transition.from.includes(state)) states.add(transition.to)
  return states
}
