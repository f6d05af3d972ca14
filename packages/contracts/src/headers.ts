/** Header names on the wire, lower case as Node gives them. */

export const TENANT_HEADER = 'x-tenant-id'
export const ORDER_HEADER = 'x-order-id'
export const IDEMPOTENCY_KEY_HEADER = 'idempotency-key'
/** On an answer that was stored before: `true`. */
export const REPLAYED_HEADER = 'idempotent-replayed'
/** Milliseconds that the caller still waits, no clock time. */
export const DEADLINE_HEADER = 'x-request-deadline-ms'
/** A DNS label in lower case: what the token's claim may hold. */
export const TENANT_PATTERN = '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'

/** What the chassis must know of the wire, for `createServer`. */
export const WIRE = {
  tenantHeader: TENANT_HEADER,
  tenantPattern: TENANT_PATTERN,
  deadlineHeader: DEADLINE_HEADER,
  /** Passed on unchanged to every upstream. Trace headers are written anew instead. */
  forwardedHeaders: ['x-request-id'],
  /** Log fields and span attributes by the header they are read from. */
  correlationHeaders: { order_id: ORDER_HEADER, tenant_id: TENANT_HEADER },
  freeTextHeaders: [IDEMPOTENCY_KEY_HEADER],
  panExemptMembers: ['sku'],
  secretMembers: ['payment_token'],
} as const
