/** Gauges that rest at zero, read from the services' /metrics (OpenMetrics text). */
import { type Gauge, InputError } from './evidence.ts'
import { reason } from './processor-ledger.ts'

const NAMES = ['limiter_in_flight', 'limiter_queued', 'postgres_pool_busy'] as const

/** Sweepers and relay hold a connection for a moment each: what leaks is never at zero in 20 samples, 50 ms apart. */
const SAMPLES = 20
const INTERVAL_MS = 50

const TIMEOUT_MS = 5000

/** @throws InputError a service's metrics are out of reach. */
export async function readGauges(urls: readonly string[]): Promise<Gauge[]> {
  const all = await Promise.all(urls.map(readService))
  return all.flat()
}

async function readService(url: string): Promise<Gauge[]> {
  let gauges: Gauge[] = NAMES.map((name) => ({ url, name, lowest: undefined }))
  for (let sample = 0; sample < SAMPLES; sample++) {
    const text = await scrape(url)
    gauges = gauges.map((gauge) => {
      const value = readGauge(text, gauge.name)
      const lowest = Math.min(gauge.lowest ?? Infinity, value ?? Infinity)
      return Number.isFinite(lowest) ? { ...gauge, lowest } : gauge
    })
    if (gauges.every(({ lowest }) => lowest === 0 || lowest === undefined)) break
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS))
  }
  return gauges
}

async function scrape(url: string): Promise<string> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) })
    if (!response.ok) throw new Error(`status ${response.status}`)
    return await response.text()
  } catch (error) {
    throw new InputError(`The metrics cannot be read at ${url}: ${reason(error)}.`, {
      cause: error,
    })
  }
}

/** The sum over all label sets; undefined where the text has no such metric. */
export function readGauge(text: string, name: string): number | undefined {
  const pattern = new RegExp(`^${name}(?:\\{[^\\n]*\\})? (\\S+)`, 'gm')
  const values = [...text.matchAll(pattern)].map(([, value]) => Number(value))
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0)
}
