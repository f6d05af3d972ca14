/** Faults by token: the prefix of `source` decides what a charge and its refunds live through. */

export interface Rule {
  readonly prefix: string
  readonly status: 'succeeded' | 'declined'
  /** Captures and answers only after SLOW_MS. */
  readonly slow: boolean
  /** What the first request of a key gets: its answer, a cut connection after the capture, or a 500 before it. */
  readonly first: 'answer' | 'cut' | 'error'
  /** A refund of such a charge fails when its key ends like this. */
  readonly failsRefundKey: string | null
}

const APPROVE: Rule = {
  prefix: 'pm_approve',
  status: 'succeeded',
  slow: false,
  first: 'answer',
  failsRefundKey: null,
}

const RULES: readonly Rule[] = [
  APPROVE,
  { ...APPROVE, prefix: 'pm_decline', status: 'declined' },
  { ...APPROVE, prefix: 'pm_slow', slow: true },
  { ...APPROVE, prefix: 'pm_lost', first: 'cut' },
  { ...APPROVE, prefix: 'pm_error', first: 'error' },
  { ...APPROVE, prefix: 'pm_norefund', failsRefundKey: ':r1' },
]

/** The rule of a token, or of the prefix that the ledger keeps in its place; anything else is approved. */
export function ruleOf(token: string): Rule {
  return RULES.find(({ prefix }) => token.startsWith(prefix)) ?? APPROVE
}
