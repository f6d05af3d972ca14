/** What is demanded of an order whose services die; each demand fails with the point, the order and what is wrong. */
import { AssertionError } from 'node:assert'
import { JOURNEYS, type OrderEnd } from './journeys.ts'
import type { FaultPoint } from './points.ts'
import type { Site } from './site.ts'

/** The order of one caller, on its way past a fault point. */
export interface Subject {
  readonly site: Site
  readonly point: FaultPoint
  readonly tenantId: string
  readonly orderId: string
}

/** As stored; 100 and above are ends. */
const STATE_CODES: Readonly<Record<OrderEnd, number>> = {
  confirmed: 100,
  declined: 120,
  cancelled: 130,
}

/** Of the answer to whoever repeats the order. */
const STATUSES: Readonly<Record<OrderEnd, number>> = {
  confirmed: 201,
  declined: 402,
  cancelled: 409,
}

function fail({ point, orderId }: Subject, message: string): never {
  throw new AssertionError({ message: `${point.name}: order ${orderId} ${message}` })
}

/** 0 for an order that is not accepted. */
async function stateOf({ site, orderId }: Subject): Promise<number> {
  const sql = 'SELECT state FROM oms.orders WHERE order_id = $1'
  const [row] = await site.query<{ state: number }>('order', sql, [orderId])
  return row?.state ?? 0
}

async function hasEnded(subject: Subject): Promise<boolean> {
  return (await stateOf(subject)) >= STATE_CODES.confirmed
}

/** Ended and announced: nobody works on it any more. */
export async function isOver(subject: Subject): Promise<boolean> {
  const { site, orderId } = subject
  const sql = 'SELECT FROM oms.outbox WHERE order_id = $1'
  return (await hasEnded(subject)) && (await site.query('order', sql, [orderId])).length === 0
}

/** Lets time pass until it is so, or fails with what `complaint` says. */
export async function waitUntil(
  subject: Subject,
  isSo: () => Promise<boolean> | boolean,
  complaint: () => string,
): Promise<void> {
  for (let i = 0; i < subject.site.maxRounds; i++) {
    if (await isSo()) return
    await subject.site.round()
  }
  if (!(await isSo())) fail(subject, `${complaint()}; its state is ${await stateOf(subject)}`)
}

/** In the order of what was armed; the first of them where the order has ended before the others. */
export function requireHits(
  subject: Subject,
  armed: readonly string[],
  hits: readonly string[],
): void {
  if (armed.slice(0, hits.length).join() !== hits.join())
    fail(subject, `met ${hits.join(', ')}, where ${armed.join(', ')} were armed`)
}

/** Intent commits first: nobody holds stock or money for an order that is not accepted. */
export async function requireAccepted(subject: Subject): Promise<void> {
  if ((await stateOf(subject)) > 0) return
  const { site, orderId } = subject
  for (const [service, table] of [
    ['payment', 'payment'],
    ['inventory', 'reservation'],
  ] as const) {
    const sql = `SELECT FROM oms.${table} WHERE order_id = $1`
    const held = await site.query(service, sql, [orderId])
    if (held.length > 0) fail(subject, `is not accepted, but has a ${table}`)
  }
}

export async function requireEnd(subject: Subject): Promise<void> {
  const { end } = JOURNEYS[subject.point.journey]
  await waitUntil(
    subject,
    () => hasEnded(subject),
    () => 'has no end',
  )
  const state = await stateOf(subject)
  if (state !== STATE_CODES[end]) fail(subject, `ended in state ${state}, not ${end}`)
}

/** Whoever repeats the order is told its end. */
export async function requireAnswer(subject: Subject): Promise<void> {
  const { site, point, tenantId, orderId } = subject
  const { end, token } = JOURNEYS[point.journey]
  if (token === undefined) return
  const answer = await site.client.placeToEnd({ tenant: tenantId, key: orderId, token })
  if (answer.status !== STATUSES[end])
    fail(subject, `is ${end}, but was answered with ${answer.status}: ${answer.text}`)
}

export async function requireGreenAudit(subject: Subject): Promise<void> {
  const broken = await subject.site.audit()
  if (broken !== undefined) fail(subject, `left an audit that is not green\n${broken}`)
}
