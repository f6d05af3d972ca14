/** Rounds and what is said of them: medians and ranges, never means; ratios are taken round by round. */

export interface Summary {
  readonly n: number
  readonly median: number
  readonly min: number
  readonly max: number
}

/** @param values at least one. */
export function summarise(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (index: number): number => sorted[index] as number
  const middle = sorted.length >> 1
  const median = sorted.length % 2 === 1 ? at(middle) : (at(middle - 1) + at(middle)) / 2
  return { n: sorted.length, median, min: at(0), max: at(sorted.length - 1) }
}

/** Of each round's value to the control's in the same round: what slows a round down slows both. */
export function ratiosOf(values: readonly number[], control: readonly number[]): number[] {
  return values.map((value, round) => value / (control[round] as number))
}

/**
 * Every contestant once a round, one after the other, each round beginning with the next one: what drifts during the
 * run, a cache that warms or a table that grows, favours none.
 */
export async function interleave<Name extends string, Value>(
  rounds: number,
  contestants: Readonly<Record<Name, () => Promise<Value>>>,
): Promise<Record<Name, Value[]>> {
  const names = Object.keys(contestants) as Name[]
  const values = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<
    Name,
    Value[]
  >
  for (let round = 0; round < rounds; round++)
    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(round + turn) % names.length] as Name
      values[name].push(await contestants[name]())
    }
  return values
}
