/** G3. */
import { set, type ToolBrokenCopy, unset } from './edits.ts'
import {
  CANARY,
  MESH_TELEMETRY,
  ORDER_SUBSETS,
  PAYMENT_RETRY,
  STRICT,
  TO_PAYMENT,
} from './names.ts'

export const istioctlToolCopies: readonly ToolBrokenCopy[] = [
  {
    mistake: 'spaces in retryOn',
    gate: 'G3',
    breaks: [set(PAYMENT_RETRY, '/spec/http/1/retries/retryOn', 'connect-failure, refused-stream')],
    says: /" refused-stream" is not a valid retryOn policy/,
  },
  {
    mistake: 'a DENY without rules',
    gate: 'G3',
    breaks: [set(TO_PAYMENT, '/spec/action', 'DENY'), unset(TO_PAYMENT, '/spec/rules')],
    says: /DENY action without `rules` is meaningless/,
  },
  {
    mistake: 'a filter that is no CEL',
    gate: 'G3',
    breaks: [set(MESH_TELEMETRY, '/spec/accessLogging/0/filter/expression', 'response.code >=')],
    says: /mesh-telemetry: must be a valid CEL expression/,
  },
  {
    mistake: 'an exception for a port without a selector',
    gate: 'G3',
    breaks: [set(STRICT, '/spec/portLevelMtls', { 9090: { mode: 'DISABLE' } })],
    says: /default-strict-mtls: .* cannot have port level mTLS/,
  },
  {
    mistake: 'a gateway that is not there',
    gate: 'G3',
    breaks: [set(CANARY, '/spec/gateways', ['istio-ingress/orders'])],
    says: /IST0101.*istio-ingress\/orders/,
  },
  {
    mistake: 'a subset that is not declared',
    gate: 'G3',
    breaks: [unset(ORDER_SUBSETS, '/spec/subsets/1')],
    says: /IST0101.*canary/,
  },
  {
    mistake: 'a route that nothing reaches',
    gate: 'G3',
    breaks: [unset(PAYMENT_RETRY, '/spec/http/0/match')],
    says: /payment-service-retry: .*not used/,
  },
  {
    mistake: 'a timeout that is no duration',
    gate: 'G3',
    breaks: [set(CANARY, '/spec/http/1/timeout', '12')],
    says: /missing unit in duration "12"/,
  },
]
