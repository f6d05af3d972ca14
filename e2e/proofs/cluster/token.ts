/** Tokens that the gateway accepts. */
import { signToken, type TokenOptions } from '@oms/lab/token'
import type { Target } from './target.ts'

export type { TokenOptions } from '@oms/lab/token'

/** @throws Error, when it is asked, where nobody can sign. */
export function signerOf({ lab }: Target): (options: TokenOptions) => Promise<string> {
  return async (options) => {
    if (lab === undefined) throw new Error('Nobody here can sign a token.')
    return signToken(lab, options)
  }
}
