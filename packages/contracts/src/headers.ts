/** Header names on the wire, lower case as Node gives them. */

export const TENANT_HEADER = 'x-tenant-id'
export const ORDER_HEADER = 'x-order-id'
export const IDEMPOTENCY_KEY_HEADER = 'idempotency-key'
/** On an answer that was stored before: `true`. */
export const REPLAYED_HEADER = 'idempotent-replayed'
/** Milliseconds that the caller still waits, no clock time. */
export const DEADLINE_HEADER = 'x-request-deadline-ms'
/** Passed on unchanged to every upstream. Trace headers are written anew instead. */
export const FORWARDED_HEADERS = ['x-request-id'] as const

/** A DNS label in lower case: what the token's claim may hold. */
export const TENANT_PATTERN = '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'

/** Log fields and span attributes by the header they are read from. */
export const CORRELATION_HEADERS = { order_id: ORDER_HEADER, tenant_id: TENANT_HEADER } as const
