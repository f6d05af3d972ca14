/** What clients wrote down: acknowledgements and final answers, one JSON object a line, perhaps still growing. */
import { readFile } from 'node:fs/promises'
import { type Ack, type Answer, InputError } from './evidence.ts'

/** Answers that no later one may contradict: confirmed, declined, out of stock or cancelled. */
const FINAL = new Set([201, 402, 409])

type Line = Readonly<Record<string, unknown>>

/** Lines `{tenant_id, order_id, fingerprint (hex), amount_minor, status}` of every 2xx or final problem. */
export async function readAcks(path: string): Promise<Ack[]> {
  const lines = await readLines(path, ['tenant_id', 'order_id', 'fingerprint'], ['status'])
  return lines
    .filter(({ status }) => acknowledges(Number(status)))
    .map((line) => ({
      key: keyOf(line),
      fp: String(line['fingerprint']).toLowerCase(),
      // A client of a bare 202 may not know the price.
      amount: line['amount_minor'] == null ? undefined : Number(line['amount_minor']),
    }))
}

/** Lines `{tenant_id, idempotency_key, order_id, status, body_sha256}` of final answers to `POST /orders`. */
export async function readAnswers(path: string): Promise<Answer[]> {
  const lines = await readLines(
    path,
    ['tenant_id', 'idempotency_key', 'order_id', 'body_sha256'],
    ['status'],
  )
  return lines
    .filter(({ status }) => FINAL.has(Number(status)))
    .map((line) => ({
      idempotencyKey: `${line['tenant_id']}/${line['idempotency_key']}`,
      key: keyOf(line),
      status: Number(line['status']),
      bodySha256: String(line['body_sha256']).toLowerCase(),
    }))
}

function acknowledges(status: number): boolean {
  return (status >= 200 && status < 300) || FINAL.has(status)
}

function keyOf(line: Line): string {
  return `${line['tenant_id']}/${String(line['order_id']).toLowerCase()}`
}

async function readLines(
  path: string,
  texts: readonly string[],
  numbers: readonly string[],
): Promise<Line[]> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    throw new InputError(`${path} cannot be read: ${(error as Error).message}.`, { cause: error })
  }
  const lines = text.split('\n')
  const last = lines.length - 1
  return lines.flatMap((line, index) => {
    if (line.trim() === '') return []
    const value = parse(line)
    // The writer has not finished its last line yet.
    if (value === undefined && index === last) return []
    const missing =
      value === undefined
        ? 'JSON'
        : (texts.find((name) => typeof value[name] !== 'string') ??
          numbers.find((name) => typeof value[name] !== 'number'))
    if (value === undefined || missing !== undefined)
      throw new InputError(`${path}, line ${index + 1} has no ${missing}.`)
    return [value]
  })
}

function parse(line: string): Line | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? (value as Line) : undefined
  } catch {
    return undefined
  }
}
