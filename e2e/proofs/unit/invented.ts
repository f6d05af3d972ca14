/** An invented run of proofs with every outcome. */
import type { MutantResult, ProofResult, ProofRun, Witness } from '../result.ts'

const RETRIES = 'k8s/istio-config/virtualservice-retry-timeout.yaml'
const BREAKER = 'k8s/istio-config/destinationrule-circuit-breaker.yaml'

function witness(seen: unknown, expected: string, holds = true): Witness {
  return { source: 'ledger', what: 'payment-service: tries of the order', seen, expected, holds }
}

export const GREEN: ProofResult = {
  name: 'retry.transient',
  promise: 'three 503s in a row do not reach the caller',
  manifests: [RETRIES, BREAKER],
  fields: ['VirtualService payment-service-retry spec.http[0].retries'],
  outcome: 'green',
  witnesses: [
    witness([1, 2, 3, 4], '[1,2,3,4]'),
    { source: 'envoy', what: 'retries', seen: 3, expected: '3', holds: true },
  ],
  durationMs: 4_210,
}

export const RED: ProofResult = {
  name: 'pool.limits',
  promise: 'of 160 calls at once 10 are refused',
  manifests: [BREAKER],
  fields: ['DestinationRule a spec.x', "DestinationRule a spec.y[?(@.z=='*')]"],
  outcome: 'red',
  reason: 'AssertionError: 2 of 2 witnesses disagree',
  atAssertion: true,
  witnesses: [witness(163, 'exactly 150', false), witness('URX', 'UO', false), witness(1, '1')],
  durationMs: 61_000,
}

export const NOT_RUN: ProofResult = {
  name: 'kiali.graph',
  promise: 'Kiali draws order_service | payment <-> *all*',
  manifests: ['k8s/observability/kiali.yaml'],
  fields: ['Kiali `default` spec.a|b'],
  outcome: 'not run',
  reason: 'no Kiali here',
  witnesses: [],
  durationMs: 0,
}

export const RUN: ProofRun = {
  startedAt: '2026-01-02T03:04:05.000Z',
  durationMs: 372_400,
  cluster: 'lab',
  versions: { Kubernetes: '1.34.2', Istio: '1.31.0', Envoy: '1.39.0', product: '0.1.0' },
  capabilities: { istioStats: true, kiali: false },
  proofs: [GREEN, RED, NOT_RUN],
}

export const MUTANTS: readonly MutantResult[] = [
  {
    id: 'retry-attempts-2',
    manifest: RETRIES,
    target: 'VirtualService order-management/payment-service-retry',
    change: '/spec/http/0/retries/attempts = 2',
    via: 'live',
    kills: ['retry.transient'],
    outcome: 'killed',
    durationMs: 9_000,
  },
  {
    id: 'pool-200',
    manifest: BREAKER,
    target: 'DestinationRule order-management/payment-service',
    change: '/spec/trafficPolicy = 200',
    via: 'live',
    kills: ['pool.limits'],
    outcome: 'survived',
    reason: 'pool.limits stayed green',
    durationMs: 70_000,
  },
  {
    id: 'typo',
    manifest: BREAKER,
    target: 'DestinationRule order-management/order-service-subsets',
    change: '/spec/subsets/0/name = stabel',
    via: 'gate',
    kills: ['subsets-exist'],
    outcome: 'killed',
    durationMs: 300,
  },
]
