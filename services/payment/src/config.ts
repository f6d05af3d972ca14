/** Every variable of payment-service: type, default, unit, meaning. */
import { chassisConfig } from '@oms/chassis/config'
import { type Static, Type } from 'typebox'

export const configSchema = Type.Object({
  ...chassisConfig,
  PORT: Type.Integer({ default: 8081, minimum: 0, maximum: 65_535 }),
  PSP_MODE: Type.Enum(['http', 'simulated'], {
    default: 'http',
    description: 'simulated: the outcome follows from the token; never in production.',
  }),
  PSP_URL: Type.String({
    default: 'http://127.0.0.1:8083',
    pattern: '^https?://',
    description: 'The card processor.',
  }),
  CONCURRENCY_LIMIT: Type.Integer({
    default: 60,
    minimum: 1,
    description: 'Requests in flight; most of them wait for the processor.',
  }),
  RESUME_INTERVAL_MS: Type.Integer({
    default: 1000,
    minimum: 10,
    description: 'Pause between passes over charges and refunds without a verdict.',
  }),
})

export type Config = Static<typeof configSchema>
