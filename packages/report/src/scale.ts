/** Where the axes of a chart have their ticks, and how its numbers read. */

/** Steps between the least and the greatest value at most; the ends are rounded outwards. */
const VALUE_TICKS = 5
const TIME_TICKS = 10

/** Longer axes have their ticks in minutes. */
const IN_SECONDS_UP_TO_S = 120

/** From a second to an hour, each a part of the minute or of the hour. */
const TIME_STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600]

const NUMBER_FORMAT = {
  maximumFractionDigits: 0,
  maximumSignificantDigits: 3,
  roundingPriority: 'morePrecision',
  signDisplay: 'negative',
} as const
const PLAIN = new Intl.NumberFormat('en', NUMBER_FORMAT)
const COMPACT = new Intl.NumberFormat('en', { ...NUMBER_FORMAT, notation: 'compact' })
const SCIENTIFIC = new Intl.NumberFormat('en', { ...NUMBER_FORMAT, notation: 'scientific' })

/** To three digits, or to a whole number where that says more: `0.00123`, `1.23`, `12,346`. */
export function numberText(value: number): string {
  return (isExtreme(value) ? SCIENTIFIC : PLAIN).format(value)
}

/** Seconds, to the millisecond. */
export function timeText(seconds: number): string {
  return String(Number(seconds.toFixed(3)))
}

/** Ascending, a nice step apart, from below the least of the values to above the greatest, and always with 0. */
export function valueTicks(
  values: readonly number[],
): readonly { readonly at: number; readonly label: string }[] {
  const low = values.reduce((least, value) => Math.min(least, value), 0)
  const high = values.reduce((greatest, value) => Math.max(greatest, value), 0)
  const step = low === high ? 1 : niceStep((high - low) / VALUE_TICKS)
  const first = Math.floor(low / step)
  const last = Math.max(Math.ceil(high / step), first + 1)
  const greatest = Math.max(-first, last) * step
  const format =
    isExtreme(step) || isExtreme(greatest) ? SCIENTIFIC : greatest >= 1e6 ? COMPACT : PLAIN
  return Array.from({ length: last - first + 1 }, (_, index) => {
    const at = multiple(first + index, step)
    return { at, label: at === 0 ? '0' : format.format(at) }
  })
}

/** From 0 to the last one that is on the axis; `at` in seconds, the labels in `unit`. */
export function timeTicks(seconds: number): {
  readonly unit: string
  readonly ticks: readonly { readonly at: number; readonly label: string }[]
} {
  const step = timeStep(seconds, TIME_TICKS)
  const [unit, labelOf] = timeUnit(seconds, step)
  // 0.3 / 0.05 is a hair below 6.
  const last = Math.floor(seconds / step + 1e-9)
  const ticks = Array.from({ length: last + 1 }, (_, index) => {
    const at = multiple(index, step)
    return { at, label: labelOf(at) }
  })
  return { unit, ticks }
}

/** In seconds: the least nice step of which no more than `atMost` fit into `seconds`. */
export function timeStep(seconds: number, atMost: number): number {
  const least = seconds / atMost
  if (least < 1) return niceStep(least)
  return TIME_STEPS_S.find((step) => step >= least) ?? niceStep(least / 3600) * 3600
}

function timeUnit(seconds: number, step: number): [unit: string, labelOf: (at: number) => string] {
  if (seconds <= IN_SECONDS_UP_TO_S) return ['seconds', numberText]
  if (step % 60 === 0) return ['minutes', (at) => numberText(at / 60)]
  return ['minutes:seconds', (at) => `${Math.floor(at / 60)}:${String(at % 60).padStart(2, '0')}`]
}

/** The least of 1, 2 and 5 × 10^n that is not below `least`. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least))
  // A hair less, so that 0.2 from a division stays 0.2.
  const factor = [1, 2, 5].find((one) => one >= (least / power) * (1 - 1e-9)) ?? 10
  return multiple(factor, power)
}

/** Without the rounding errors of 3 × 0.1. */
function multiple(times: number, step: number): number {
  return Number((times * step).toPrecision(12))
}

function isExtreme(value: number): boolean {
  const size = Math.abs(value)
  return size >= 1e15 || (size > 0 && size < 1e-4)
}
