/** The wire format: what callers send and get. openapi.json says the same, a test compares the two. */
import { type Static, Type } from 'typebox'

/** 10¹² minor units, far below where JSON numbers lose digits. */
const MAX_AMOUNT = 1_000_000_000_000

const reference = Type.String({ pattern: '^[!-~]{1,255}$' })
const amount = Type.Integer({ minimum: 1, maximum: MAX_AMOUNT })
const currency = Type.String({ pattern: '^[A-Z]{3}$' })
const nullable = Type.Union([Type.String(), Type.Null()])
const created = Type.String({ format: 'date-time' })
const strict = { additionalProperties: false } as const

/** Amounts are integers in the currency's minor unit. */
export const ChargeRequest = Type.Object(
  {
    amount,
    currency,
    source: Type.String({ pattern: '^pm_[A-Za-z0-9]{8,64}$' }),
    merchant_reference: reference,
  },
  strict,
)
export type ChargeRequest = Static<typeof ChargeRequest>

export const RefundRequest = Type.Object(
  { charge: Type.String({ minLength: 1, maxLength: 255 }), amount, merchant_reference: reference },
  strict,
)
export type RefundRequest = Static<typeof RefundRequest>

export const Charge = Type.Object(
  {
    id: Type.String({ pattern: '^ch_[0-9a-f]{24}$' }),
    object: Type.Literal('charge'),
    idempotency_key: reference,
    merchant_reference: reference,
    amount,
    currency,
    status: Type.Enum(['succeeded', 'declined']),
    decline_code: nullable,
    created,
  },
  strict,
)
export type Charge = Static<typeof Charge>

export const Refund = Type.Object(
  {
    id: Type.String({ pattern: '^re_[0-9a-f]{24}$' }),
    object: Type.Literal('refund'),
    idempotency_key: reference,
    merchant_reference: reference,
    charge: Type.String({ pattern: '^ch_[0-9a-f]{24}$' }),
    amount,
    currency,
    status: Type.Enum(['succeeded', 'failed']),
    failure_reason: nullable,
    created,
  },
  strict,
)
export type Refund = Static<typeof Refund>

export const Id = Type.Object({ id: Type.String() })

export const KeyHeaders = Type.Object({ 'idempotency-key': reference })

/** Query values arrive as text and stay text: the server coerces nothing. */
export const ListQuery = Type.Object(
  {
    merchant_reference: Type.Optional(reference),
    limit: Type.Optional(Type.String({ pattern: '^([1-9][0-9]{0,2}|1000)$' })),
    after: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
  },
  strict,
)
export type ListQuery = Static<typeof ListQuery>

export type ErrorCode =
  | 'invalid_request'
  | 'amount_too_large'
  | 'charge_not_captured'
  | 'not_found'
  | 'idempotency_key_reuse'
  | 'processor_error'
  | 'ledger_unavailable'

/** A refusal as it goes out: `{error: {code, message}}` under `status`. */
export class Refusal extends Error {
  readonly status: number
  readonly code: ErrorCode

  constructor(status: number, code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.status = status
    this.code = code
  }
}
