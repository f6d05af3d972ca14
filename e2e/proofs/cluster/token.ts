/** Tokens that the gateway accepts. */
import { readFileSync } from 'node:fs'
import { signToken, signWith, type TokenOptions } from '@oms/lab/token'
import type { Target } from './target.ts'

export type { TokenOptions } from '@oms/lab/token'

/** @throws Error, when it is asked, where nobody can sign. */
export function signerOf({ lab, tokenKey }: Target): (options: TokenOptions) => Promise<string> {
  return async (options) => {
    if (tokenKey !== undefined)
      return signWith({ privateKey: readFileSync(tokenKey, 'utf8') }, options)
    if (lab === undefined) throw new Error('Nobody here can sign a token: --token-key.')
    return signToken(lab, options)
  }
}
