/** The card processor's ledger: every charge and refund it ever made, page by page. */
import { InputError, type LedgerEntry, type ProcessorLedger } from './evidence.ts'

/** The processor's largest page. */
const PAGE = 1000

/** 10 s a page: a processor that is slower than this is out of order. */
const TIMEOUT_MS = 10_000

interface Page {
  readonly data: readonly LedgerEntry[]
  readonly has_more: boolean
}

/**
 * Charges first, so that no refund is listed without its charge.
 * @throws InputError the processor is out of reach or answers something else.
 */
export async function readProcessorLedger(origin: string): Promise<ProcessorLedger> {
  const charges = await readAll(origin, 'charges')
  return { charges, refunds: await readAll(origin, 'refunds') }
}

async function readAll(origin: string, kind: 'charges' | 'refunds'): Promise<LedgerEntry[]> {
  const entries: LedgerEntry[] = []
  for (;;) {
    const after = entries.at(-1)?.id
    const page = await readPage(origin, kind, after)
    entries.push(...page.data)
    if (!page.has_more) return entries
    if (page.data.length === 0 || page.data.at(-1)?.id === after)
      throw new InputError(`The processor's list of ${kind} does not get past ${after}.`)
  }
}

async function readPage(origin: string, kind: string, after: string | undefined): Promise<Page> {
  const url = new URL(`/v1/${kind}`, origin)
  url.searchParams.set('limit', String(PAGE))
  if (after !== undefined) url.searchParams.set('after', after)
  let body: unknown
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) })
    if (!response.ok) throw new Error(`status ${response.status}`)
    body = await response.json()
  } catch (error) {
    throw new InputError(`The processor cannot be read at ${url.href}: ${reason(error)}.`, {
      cause: error,
    })
  }
  if (!isPage(body)) throw new InputError(`The processor's ${kind} at ${url.href} are no list.`)
  return body
}

function isPage(body: unknown): body is Page {
  const { data, has_more: more } = (body ?? {}) as Partial<Page>
  return Array.isArray(data) && typeof more === 'boolean' && data.every(isEntry)
}

function isEntry(value: unknown): value is LedgerEntry {
  const entry = (value ?? {}) as Record<string, unknown>
  const texts = ['id', 'idempotency_key', 'merchant_reference', 'currency', 'status']
  return (
    Number.isSafeInteger(entry['amount']) && texts.every((name) => typeof entry[name] === 'string')
  )
}

/** Node's fetch hides the reason in the cause. */
export function reason(error: unknown): string {
  const { message, cause } = error as { message: string; cause?: { message?: string } }
  return cause?.message ? cause.message : message
}
