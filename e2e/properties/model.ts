/**
 * What the system promises, as plain data: stock by SKU, orders by key, money, the feed. No database, no network, no
 * clock; restated from the protocol and never imported, for a specification must not share its subject's mistakes.
 */
import type { Weather } from '../in-process/link.ts'

export type OrderState =
  | 'pending'
  | 'payment_unknown'
  | 'refunding'
  | 'compensating'
  | 'confirmed'
  | 'rejected'
  | 'declined'
  | 'cancelled'

export interface Line {
  readonly sku: string
  readonly quantity: number
}

export interface Content {
  readonly lines: readonly Line[]
  readonly token: string
}

export interface ModelOrder extends Content {
  readonly tenant: string
  readonly key: string
  readonly orderId: string
  /** By SKU, at the prices of the moment of acceptance. */
  readonly priced: readonly (Line & { readonly unitPrice: number })[]
  readonly amount: number
  state: OrderState
  verdict: 'none' | 'captured' | 'declined' | 'voided' | 'refunded'
  reason: string | null
  cancelRequested: boolean
  /** The minute in which a verdict should have come is over. */
  timedOut: boolean
  reservation: 'none' | 'held' | 'committed' | 'released' | 'rejected'
  unavailable: readonly string[]
  payment: 'none' | 'processing' | 'captured' | 'declined' | 'voided'
  refund: 'none' | 'done' | 'failed'
  /** The last pass was told so. */
  stillProcessing: boolean
  /** The first final answer to its POST, to the byte. */
  answer?: string
}

export interface Stock {
  available: number
  reserved: number
  sold: number
}

export interface Model {
  readonly tenants: readonly [string, string]
  /** By `tenant/sku`. */
  readonly prices: Map<string, number>
  readonly stock: Map<string, Stock>
  /** In the order of their acceptance. */
  readonly orders: ModelOrder[]
  /** Ended and not announced yet, in the order of their ends. */
  readonly outbox: ModelOrder[]
  /** Announced, by tenant; an event's number is its place, from 1. */
  readonly feed: Map<string, ModelOrder[]>
}

/** What a driver meets on its way to the two participants. */
export interface Ways {
  readonly inventory: Weather
  readonly payment: Weather
}

export const ALL_UP: Ways = { inventory: 'up', payment: 'up' }

export function isFinal({ state }: ModelOrder): boolean {
  return ['confirmed', 'rejected', 'declined', 'cancelled'].includes(state)
}

/** The processor's first answer to such a card is a 500, or is lost. */
export function isFaulty({ token }: Content): boolean {
  return /^pm_(error|lost)/.test(token)
}

export function accept(
  model: Model,
  tenant: string,
  key: string,
  orderId: string,
  { lines, token }: Content,
): ModelOrder {
  const priced = lines
    .map((line) => ({
      ...line,
      unitPrice: model.prices.get(`${tenant}/${line.sku}`) ?? Number.NaN,
    }))
    .sort((one, other) => (one.sku < other.sku ? -1 : 1))
  const order: ModelOrder = {
    tenant,
    key,
    orderId,
    lines,
    token,
    priced,
    amount: priced.reduce((sum, { quantity, unitPrice }) => sum + quantity * unitPrice, 0),
    state: 'pending',
    verdict: 'none',
    reason: null,
    cancelRequested: false,
    timedOut: false,
    reservation: 'none',
    unavailable: [],
    payment: 'none',
    refund: 'none',
    stillProcessing: false,
  }
  model.orders.push(order)
  return order
}

/** One pass of a driver: protocol §3.2, each command sent once. */
export function drive(model: Model, order: ModelOrder, ways: Ways): void {
  order.stillProcessing = false
  if (order.state === 'pending' || order.state === 'payment_unknown')
    seekVerdict(model, order, ways)
  if (order.state === 'refunding') {
    if (ask(ways.payment, () => refund(order)) !== 'done') return
    order.verdict = 'refunded'
    order.reason = 'cancelled_by_client'
    order.state = 'compensating'
  }
  if (order.state === 'compensating') {
    if (ask(ways.inventory, () => release(model, order)) === undefined) return
    end(model, order, order.verdict === 'declined' ? 'declined' : 'cancelled')
  }
}

function seekVerdict(model: Model, order: ModelOrder, ways: Ways): void {
  if (order.cancelRequested || order.timedOut) {
    const told = ask(ways.payment, () => voidPayment(order))
    order.stillProcessing = told === 'processing'
    conclude(model, order, told)
    return
  }
  if (order.state === 'pending') {
    const told = ask(ways.inventory, () => reserve(model, order))
    if (told === 'rejected') {
      order.reason = 'out_of_stock'
      end(model, order, 'rejected')
    }
    if (told !== 'held') return
  }
  const told = ask(ways.payment, () => charge(order))
  order.stillProcessing = told === 'processing'
  // Whoever is told that the charge is under way asks again, until payment-service has repeated it.
  const verdict = told === 'processing' ? charge(order) : told
  if (verdict === undefined) order.state = 'payment_unknown'
  else conclude(model, order, verdict)
}

function conclude(
  model: Model,
  order: ModelOrder,
  verdict: ModelOrder['payment'] | undefined,
): void {
  switch (verdict) {
    case 'captured':
      order.verdict = 'captured'
      if (order.cancelRequested) order.state = 'refunding'
      else end(model, order, 'confirmed')
      return
    case 'declined':
      order.verdict = 'declined'
      order.reason = 'payment_declined'
      order.state = 'compensating'
      return
    case 'voided':
      order.verdict = 'voided'
      order.reason = order.cancelRequested ? 'cancelled_by_client' : 'timed_out'
      order.state = 'compensating'
      return
    case 'none':
    case 'processing':
    case undefined:
  }
}

function end(model: Model, order: ModelOrder, state: OrderState): void {
  order.state = state
  model.outbox.push(order)
}

/** `undefined`: unknown, which is not "no". */
function ask<Told>(way: Weather, act: () => Told): Told | undefined {
  if (way === 'down') return undefined
  const told = act()
  return way === 'deaf' ? undefined : told
}

/** All lines or none. */
function reserve(model: Model, order: ModelOrder): ModelOrder['reservation'] {
  if (order.reservation !== 'none') return order.reservation
  order.unavailable = order.priced
    .filter(({ sku, quantity }) => (stockOf(model, order.tenant, sku)?.available ?? 0) < quantity)
    .map(({ sku }) => sku)
  if (order.unavailable.length > 0) order.reservation = 'rejected'
  else {
    order.reservation = 'held'
    move(model, order, 'available', 'reserved')
  }
  return order.reservation
}

function release(model: Model, order: ModelOrder): true {
  if (order.reservation === 'held') move(model, order, 'reserved', 'available')
  if (order.reservation !== 'rejected') order.reservation = 'released'
  return true
}

function commit(model: Model, order: ModelOrder): true {
  if (order.reservation === 'held') {
    move(model, order, 'reserved', 'sold')
    order.reservation = 'committed'
  }
  return true
}

function move(model: Model, order: ModelOrder, from: keyof Stock, to: keyof Stock): void {
  for (const { sku, quantity } of order.lines) {
    const stock = stockOf(model, order.tenant, sku)
    if (stock === undefined) throw new Error(`the model reserves ${sku}, which nobody supplied`)
    stock[from] -= quantity
    stock[to] += quantity
  }
}

function stockOf({ stock }: Model, tenant: string, sku: string): Stock | undefined {
  return stock.get(`${tenant}/${sku}`)
}

/** The same key for ever: what was sent once is met again. */
function charge(order: ModelOrder): ModelOrder['payment'] {
  if (order.payment === 'none') {
    if (order.token.startsWith('pm_decline')) order.payment = 'declined'
    else order.payment = isFaulty(order) ? 'processing' : 'captured'
  } else if (order.payment === 'processing') order.payment = 'captured'
  return order.payment
}

/** A tombstone where nothing was charged; a charge under way reaches its verdict first. */
function voidPayment(order: ModelOrder): ModelOrder['payment'] {
  if (order.payment === 'none') order.payment = 'voided'
  return order.payment
}

function refund(order: ModelOrder): ModelOrder['refund'] {
  if (order.refund === 'none')
    order.refund = order.token.startsWith('pm_norefund') ? 'failed' : 'done'
  return order.refund
}

/** The flag is durable before anybody sends a void; false where no verdict is awaited any more. */
export function requestCancel(order: ModelOrder): boolean {
  if (order.cancelRequested || (order.state !== 'pending' && order.state !== 'payment_unknown'))
    return false
  order.cancelRequested = true
  return true
}

/** Payment-service's own pass. */
export function resumePayments({ orders }: Model): void {
  for (const order of orders) if (order.payment === 'processing') order.payment = 'captured'
}

/** The operator's second refund goes out under a key of its own. */
export function retryRefund(order: ModelOrder): void {
  if (order.refund === 'failed') order.refund = 'done'
}

/** A reservation that runs out is a question; only a confirmed order's answer is "commit". */
export function expire(model: Model, order: ModelOrder, way: Weather): void {
  if (way === 'up' && order.state === 'confirmed') commit(model, order)
}

/** Stock is settled first; without inventory's word a tenant with a confirmed order waits as a whole. */
export function relay(model: Model, way: Weather): void {
  for (const tenant of model.tenants) {
    const events = model.outbox.filter((order) => order.tenant === tenant)
    const confirmed = events.filter(({ state }) => state === 'confirmed')
    const settled = ask(way, () => confirmed.every((order) => commit(model, order)))
    if (settled === undefined && confirmed.length > 0) continue
    const feed = model.feed.get(tenant) ?? []
    model.feed.set(tenant, [...feed, ...events])
    for (const event of events) model.outbox.splice(model.outbox.indexOf(event), 1)
  }
}
