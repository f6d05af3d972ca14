/** Every variable of inventory-service: type, default, unit, meaning. */
import { chassisConfig } from '@oms/chassis/config'
import { type Static, Type } from 'typebox'

export const configSchema = Type.Object({
  ...chassisConfig,
  PORT: Type.Integer({ default: 8082, minimum: 0, maximum: 65_535 }),
  ORDER_SERVICE_URL: Type.String({
    default: 'http://127.0.0.1:8080',
    pattern: '^https?://',
    description: 'Order-service, which is asked what becomes of an expired reservation.',
  }),
  CONCURRENCY_LIMIT: Type.Integer({
    default: 15,
    minimum: 1,
    description: 'Requests in flight; 1.5 × POOL_SIZE, for the database is all they wait for.',
  }),
  EXPIRY_INTERVAL_MS: Type.Integer({
    default: 1000,
    minimum: 10,
    description: 'Pause between passes over expired reservations.',
  }),
})

export type Config = Static<typeof configSchema>
