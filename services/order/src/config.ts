/** Every variable of order-service: type, default, unit, meaning. */
import { chassisConfig } from '@oms/chassis/config'
import { type Static, Type } from 'typebox'

export const configSchema = Type.Object({
  ...chassisConfig,
  PAYMENT_SERVICE_URL: Type.String({
    default: 'http://127.0.0.1:8081',
    pattern: '^https?://',
    description: 'payment-service.',
  }),
  INVENTORY_SERVICE_URL: Type.String({
    default: 'http://127.0.0.1:8082',
    pattern: '^https?://',
    description: 'inventory-service.',
  }),
  CONCURRENCY_LIMIT: Type.Integer({
    default: 120,
    minimum: 10,
    description: 'Requests in flight; most of them wait for the other services.',
  }),
  TENANT_ORDERS_PER_SECOND: Type.Integer({
    default: 200,
    minimum: 1,
    description: 'Orders that one tenant may place with this replica.',
  }),
  TENANT_CANCELS_PER_SECOND: Type.Integer({
    default: 10,
    minimum: 1,
    description: 'Cancels that one tenant may ask of this replica.',
  }),
  SWEEP_INTERVAL_MS: Type.Integer({
    default: 1000,
    minimum: 10,
    description: 'Pause between passes over orders whose lease ran out.',
  }),
  RELAY_INTERVAL_MS: Type.Integer({
    default: 200,
    minimum: 10,
    description: 'Pause between passes over the outbox; none after a full one.',
  }),
})

export type Config = Static<typeof configSchema>
