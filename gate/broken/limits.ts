/** G6: limits, ejection, load balancing. */
import { type BrokenCopy, beside, set, unset } from './edits.ts'
import { DEFAULTS, ORDER_SUBSETS, PAYMENT_BREAKER, STRICT } from './names.ts'

const POLICY = '/spec/trafficPolicy'

export const limitCopies: readonly BrokenCopy[] = [
  {
    mistake: 'a rule that leaves ejection to the wildcard',
    gate: 'G6',
    breaks: [unset(PAYMENT_BREAKER, `${POLICY}/outlierDetection`)],
    says: /payment-service-circuit-breaker: spec\.trafficPolicy\.outlierDetection is missing/,
  },
  {
    mistake: 'a limit that is not the others’',
    gate: 'G6',
    breaks: [set(PAYMENT_BREAKER, `${POLICY}/connectionPool/tcp/maxConnections`, 200)],
    says: /connectionPool\.tcp\.maxConnections is 200, not 100/,
  },
  {
    mistake: 'Envoy’s own time to connect',
    gate: 'G6',
    breaks: [unset(DEFAULTS, `${POLICY}/connectionPool/tcp/connectTimeout`)],
    says: /connectTimeout is missing, it must be "1s"/,
  },
  {
    mistake: 'a round robin, which does not look at load',
    gate: 'G6',
    breaks: [set(ORDER_SUBSETS, `${POLICY}/loadBalancer/simple`, 'ROUND_ROBIN')],
    says: /loadBalancer\.simple is "ROUND_ROBIN", not "LEAST_REQUEST"/,
  },
  {
    mistake: 'no budget for retries',
    gate: 'G6',
    breaks: [unset(PAYMENT_BREAKER, `${POLICY}/retryBudget`)],
    says: /retryBudget is missing/,
  },
  {
    mistake: 'the limit of ejection is forgotten: 10 %',
    gate: 'G6',
    breaks: [unset(PAYMENT_BREAKER, `${POLICY}/outlierDetection/maxEjectionPercent`)],
    says: /maxEjectionPercent is missing, it must be 50/,
  },
  {
    mistake: 'consecutiveErrors, which does nothing',
    gate: 'G6',
    breaks: [set(PAYMENT_BREAKER, `${POLICY}/outlierDetection/consecutiveErrors`, 5)],
    says: /spec\.trafficPolicy\.outlierDetection\.consecutiveErrors is 5$/,
  },
  {
    mistake: 'maxRetries beside a budget',
    gate: 'G6',
    breaks: [set(PAYMENT_BREAKER, `${POLICY}/connectionPool/http/maxRetries`, 3)],
    says: /connectionPool\.http\.maxRetries is 3$/,
  },
  {
    mistake: 'a policy in a subset',
    gate: 'G6',
    breaks: [
      set(ORDER_SUBSETS, '/spec/subsets/1/trafficPolicy', { loadBalancer: { simple: 'RANDOM' } }),
    ],
    says: /subset canary has a trafficPolicy/,
  },
  {
    mistake: 'plain text to one service',
    gate: 'G6',
    breaks: [set(PAYMENT_BREAKER, `${POLICY}/tls`, { mode: 'DISABLE' })],
    says: /spec\.trafficPolicy\.tls is \{"mode":"DISABLE"\}$/,
  },
  {
    mistake: 'limits that the ingress does not see',
    gate: 'G6',
    breaks: [set(PAYMENT_BREAKER, '/spec/exportTo', ['.'])],
    says: /payment-service-circuit-breaker: spec\.exportTo is \["\."\]/,
  },
  {
    mistake: 'plain text to everybody',
    gate: 'G6',
    breaks: [
      beside(STRICT, {
        apiVersion: 'networking.istio.io/v1',
        kind: 'DestinationRule',
        metadata: { name: 'default', namespace: 'istio-system' },
        spec: { host: '*.local', trafficPolicy: { tls: { mode: 'DISABLE' } } },
      }),
    ],
    says: /istio-system\/default: spec\.trafficPolicy\.tls is \{"mode":"DISABLE"\}$/,
  },
]
