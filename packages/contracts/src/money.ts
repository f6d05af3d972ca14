/** Money is an integer of minor units with an ISO 4217 code; 1099 EUR minor is 10.99 €. */
import { type TInteger, type TString, Type } from 'typebox'

/** 10¹² minor units; far below 2⁵³, so a JSON number holds every amount exactly. */
export const MAX_AMOUNT_MINOR = 1_000_000_000_000

export const Currency: TString = Type.String({
  pattern: '^[A-Z]{3}$',
  description: 'ISO 4217 code, upper case.',
})

export const AmountMinor: TInteger = Type.Integer({
  minimum: 1,
  maximum: MAX_AMOUNT_MINOR,
  description: 'Minor units of the currency: 1099 is 10.99 EUR.',
})
