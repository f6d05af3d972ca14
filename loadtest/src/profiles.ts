/** How many arrive and when, apart from what they do: an open model, so nobody waits for a slow system. */

export interface Profile {
  readonly line: string
  /** Orders a second that `times: 1` stands for. */
  readonly rate: number
  /** It begins with the first stage's `times`. */
  readonly stages: readonly { readonly seconds: number; readonly times: number }[]
  /** Seconds from the beginning between which a fault is there. */
  readonly fault: { readonly from: number; readonly to: number }
}

export const PROFILES = {
  smoke: {
    line: 'half a minute at 5 orders/s: does it work at all?',
    rate: 5,
    stages: [{ seconds: 30, times: 1 }],
    fault: { from: 4, to: 16 },
  },
  average: {
    line: 'a minute at 10 orders/s, the fault in its midst',
    rate: 10,
    stages: [{ seconds: 55, times: 1 }],
    fault: { from: 8, to: 33 },
  },
  stress: {
    line: 'two minutes, in steps up to twice the average',
    rate: 10,
    stages: [
      { seconds: 30, times: 1 },
      { seconds: 30, times: 1.5 },
      { seconds: 30, times: 2 },
      { seconds: 30, times: 1 },
    ],
    fault: { from: 35, to: 85 },
  },
  spike: {
    line: 'fivefold within two seconds, for ten seconds, and back',
    rate: 6,
    stages: [
      { seconds: 15, times: 1 },
      { seconds: 2, times: 5 },
      { seconds: 10, times: 5 },
      { seconds: 2, times: 1 },
      { seconds: 25, times: 1 },
    ],
    fault: { from: 15, to: 29 },
  },
  soak: {
    line: 'half an hour at 7 orders/s: what leaks, and what grows',
    rate: 7,
    stages: [{ seconds: 1800, times: 1 }],
    fault: { from: 600, to: 1200 },
  },
  breakpoint: {
    line: 'four minutes, from 5 orders/s up to 50: where goodput stops growing',
    rate: 5,
    stages: [{ seconds: 240, times: 10 }],
    fault: { from: 60, to: 180 },
  },
  /** Of the scenario `overload`: times its peak. */
  overload: {
    line: 'past its peak: a step of 1.2, 2, 5 and 10 times what it can do, and back',
    rate: 18,
    stages: [
      { seconds: 30, times: 1.2 },
      { seconds: 1, times: 2 },
      { seconds: 20, times: 2 },
      { seconds: 1, times: 5 },
      { seconds: 20, times: 5 },
      { seconds: 1, times: 10 },
      { seconds: 20, times: 10 },
      { seconds: 1, times: 0.3 },
      { seconds: 20, times: 0.3 },
    ],
    fault: { from: 30, to: 93 },
  },
  rollouts: {
    line: 'five minutes and a half, long enough for a dozen rollouts',
    rate: 10,
    stages: [{ seconds: 330, times: 1 }],
    fault: { from: 5, to: 300 },
  },
} as const satisfies Readonly<Record<string, Profile>>

export function secondsOf({ stages }: Profile): number {
  return stages.reduce((sum, { seconds }) => sum + seconds, 0)
}
