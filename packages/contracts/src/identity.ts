/**
 * How an order gets its id and a request its fingerprint. Both are part of the contract: every replica and every
 * version must derive the same, or a retry would become a second order.
 */
import { createHash } from 'node:crypto'
import canonicalize from 'canonicalize'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** 16 to 255 visible ASCII characters. */
export const IDEMPOTENCY_KEY_PATTERN = '^[\\x21-\\x7e]{16,255}$'

export const UUID_PATTERN = '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'

/** The key itself where it is a UUID, else a UUIDv8 (RFC 9562) of SHA-256(tenant ‖ 0x00 ‖ key). */
export function orderIdOf(tenantId: string, idempotencyKey: string): string {
  if (UUID.test(idempotencyKey)) return idempotencyKey.toLowerCase()
  const bytes = createHash('sha256').update(`${tenantId}\0${idempotencyKey}`).digest()
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6)
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8)
  const hex = bytes.toString('hex')
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20, 32),
  ].join('-')
}

/** Names the algorithm; a new one gets a new byte and the old stays accepted. */
const FINGERPRINT_VERSION = '1'

/**
 * SHA-256(version ‖ JCS(body)), hex (RFC 8785). Lines count as a set: they are sorted by sku first.
 * Applies no defaults: version N must recognise what version N−1 accepted.
 */
export function fingerprintOf(body: object): string {
  const { lines } = body as { readonly lines?: unknown }
  const sorted = Array.isArray(lines)
    ? { ...body, lines: [...lines].sort((a, b) => (a.sku < b.sku ? -1 : a.sku > b.sku ? 1 : 0)) }
    : body
  return createHash('sha256')
    .update(FINGERPRINT_VERSION + canonicalize(sorted))
    .digest('hex')
}
