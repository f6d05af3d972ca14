/** Six orders that show what the system promises, and a table of what became of each and why. */
import { randomUUID } from 'node:crypto'
import type { Client, OrderAnswer } from '@oms/e2e/client'

interface Row {
  readonly story: string
  readonly orderId: string
  readonly answer: string
  readonly end: string
  readonly why: string
}

interface Urls {
  readonly payment: string
  readonly processor: string
}

/** Places all at once and prints the table when the last has ended. */
export async function tellOrders(
  client: Client,
  urls: Urls,
  say: (line: string) => void,
): Promise<void> {
  const stories = [
    confirmed(client),
    declined(client),
    outOfStock(client),
    sameKeyTwice(client),
    lostAnswer(client, urls),
    cancelled(client, urls),
  ]
  const rows = await Promise.all(stories)
  for (const line of table(rows)) say(line)
}

async function confirmed(client: Client): Promise<Row> {
  const end = await client.placeToEnd({ lines: [{ sku: 'MOKA-POT', quantity: 2 }] })
  return row('a good card', end, `reserved, charged ${money(end)}, settled`)
}

async function declined(client: Client): Promise<Row> {
  const end = await client.placeToEnd({ token: 'pm_decline0001' })
  return row('a declined card', end, 'the card was declined; the stock went back')
}

async function outOfStock(client: Client): Promise<Row> {
  const end = await client.placeToEnd({
    tenant: 'globex',
    lines: [{ sku: 'LIMITED-PRINT', quantity: 1 }],
  })
  return row('out of stock', end, 'no stock of LIMITED-PRINT; nothing was charged')
}

async function sameKeyTwice(client: Client): Promise<Row> {
  const key = randomUUID()
  const [one, other] = await Promise.all([client.placeToEnd({ key }), client.placeToEnd({ key })])
  const same = one.text === other.text ? 'byte for byte the same answer' : 'TWO DIFFERENT ANSWERS'
  return row('the same key twice', one, `two requests, one order, ${same}`)
}

async function lostAnswer(client: Client, { processor }: Urls): Promise<Row> {
  const end = await client.placeToEnd({ token: 'pm_lost00000001' })
  const orderId = String(end.body['order_id'])
  const reference = encodeURIComponent(`oms:local:acme:${orderId}`)
  const response = await fetch(`${processor}/v1/charges?merchant_reference=${reference}`)
  const { data } = (await response.json()) as { data: readonly unknown[] }
  return row(
    'an answer lost by the processor',
    end,
    `asked again under the same key: ${data.length} capture in its ledger`,
  )
}

/** The card processor takes 3 s for this token: time enough to change one's mind while the charge is under way. */
async function cancelled(client: Client, { payment }: Urls): Promise<Row> {
  const key = randomUUID()
  const readPayment = async (): Promise<Record<string, unknown>> => {
    const response = await fetch(`${payment}/api/v1/payments/${key}`, {
      headers: { 'x-tenant-id': 'acme' },
    })
    return (await response.json()) as Record<string, unknown>
  }
  const placing = client.placeToEnd({ key, token: 'pm_slow00000001' })
  const until = performance.now() + 5000
  while ((await readPayment())['state'] !== 'processing' && performance.now() < until)
    await new Promise((resolve) => setTimeout(resolve, 20))
  await client.cancel(key)
  const end = await placing
  const { refunded_minor } = await readPayment()
  const refunded = Number(refunded_minor) > 0
  const why = refunded ? 'captured meanwhile, refunded in full' : 'never charged'
  return row('cancelled while the charge was under way', end, `${why}; the stock went back`)
}

function row(story: string, { status, body }: OrderAnswer, why: string): Row {
  const slug = String(body['type'] ?? '')
    .split('/')
    .at(-1)
  const end = String(body['state'] ?? slug)
  return { story, orderId: String(body['order_id']), answer: String(status), end, why }
}

function money({ body }: OrderAnswer): string {
  return `${(Number(body['amount_minor']) / 100).toFixed(2)} ${body['currency']}`
}

function table(rows: readonly Row[]): readonly string[] {
  const header = { story: 'Order with …', orderId: 'Id', answer: 'HTTP', end: 'End', why: 'Why' }
  const shown = [header, ...rows.map((each) => ({ ...each, orderId: each.orderId.slice(0, 8) }))]
  const columns = ['story', 'orderId', 'answer', 'end', 'why'] as const
  const widths = columns.map((name) => Math.max(...shown.map((each) => each[name].length)))
  return shown.map((each) =>
    columns
      .map((name, index) => each[name].padEnd(widths[index] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}
