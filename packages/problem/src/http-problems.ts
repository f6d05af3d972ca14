/** Problems that any HTTP service has, whatever it is about. */
import { defineProblem } from './problem.ts'

/**
 * Headers of every 429. Envoy retries no answer that carries `x-envoy-ratelimited`, and 429 feeds no outlier
 * ejection: shedding load must not make a healthy endpoint vanish.
 */
export const SHED_HEADERS = { 'retry-after': '1', 'x-envoy-ratelimited': '1' } as const

export const InvalidRequest = defineProblem({
  slug: 'invalid-request',
  title: 'The request is not valid',
  status: 400,
})
export const PanRejected = defineProblem({
  slug: 'pan-rejected',
  title: 'Card numbers are not accepted',
  status: 400,
})
export const TenantMissing = defineProblem({
  slug: 'tenant-missing',
  title: 'The request names no tenant',
  status: 401,
})
export const NotFound = defineProblem({ slug: 'not-found', title: 'Not found', status: 404 })
export const MethodNotAllowed = defineProblem({
  slug: 'method-not-allowed',
  title: 'Method not allowed',
  status: 405,
})
export const RequestTimeout = defineProblem({
  slug: 'request-timeout',
  title: 'Request timeout',
  status: 408,
  retryable: true,
})
export const ContentTooLarge = defineProblem({
  slug: 'content-too-large',
  title: 'Content too large',
  status: 413,
})
export const UnsupportedMediaType = defineProblem({
  slug: 'unsupported-media-type',
  title: 'Unsupported media type',
  status: 415,
})
export const RequestHeaderFieldsTooLarge = defineProblem({
  slug: 'request-header-fields-too-large',
  title: 'Request header fields too large',
  status: 431,
})
export const Busy = defineProblem({
  slug: 'busy',
  title: 'The resource is busy',
  status: 409,
  retryable: true,
  outcome: 'unknown',
  headers: { 'retry-after': '1' },
})
export const Overloaded = defineProblem({
  slug: 'overloaded',
  title: 'The service is overloaded',
  status: 429,
  retryable: true,
  headers: SHED_HEADERS,
})
export const TenantQuota = defineProblem({
  slug: 'tenant-quota',
  title: 'The tenant is above its quota',
  status: 429,
  retryable: true,
  headers: SHED_HEADERS,
})
export const DeadlineTooShort = defineProblem({
  slug: 'deadline-too-short',
  title: 'The deadline leaves no time to work',
  status: 429,
  retryable: true,
  headers: SHED_HEADERS,
})
export const Internal = defineProblem({
  slug: 'internal',
  title: 'Internal error',
  status: 500,
  retryable: true,
  outcome: 'unknown',
})
export const Unavailable = defineProblem({
  slug: 'unavailable',
  title: 'This instance cannot answer',
  status: 503,
  retryable: true,
  outcome: 'unknown',
})
