/** G6: limits, ejection and load balancing, said in full by every DestinationRule and by nothing else. */
import { ORDER_MANAGEMENT } from '@oms/e2e/authz-matrix'
import type { KubernetesObject } from '@oms/lab/kubectl'
import { differences, fieldsNamed, idOf, ofKind } from '../objects.ts'
import { inSets, type Rule } from '../rule.ts'

/** The limits of every service, for each calling pod. */
const LIMITS = {
  connectionPool: {
    tcp: { maxConnections: 100, connectTimeout: '1s' },
    http: { http1MaxPendingRequests: 50, http2MaxRequests: 100 },
  },
  outlierDetection: {
    consecutive5xxErrors: 5,
    interval: '10s',
    baseEjectionTime: '30s',
    maxEjectionPercent: 50,
  },
  loadBalancer: { simple: 'LEAST_REQUEST' },
  retryBudget: { percent: 20, minRetryConcurrency: 3 },
}

const INSIDE = `.${ORDER_MANAGEMENT}.svc.cluster.local`

/** Also `*.local` is about our services. */
function isInside({ spec: { host } }: KubernetesObject): boolean {
  return host.endsWith(INSIDE) || (host.startsWith('*') && INSIDE.endsWith(host.slice(1)))
}

export const limitRules: readonly Rule[] = [
  inSets({
    gate: 'G6',
    name: 'every DestinationRule of the namespace says all the limits again',
    why: 'Rules are never merged: the most specific host wins whole, and what it leaves out is Envoy’s default (10 s to connect, no ejection, 10 % at most).',
    mend: 'Write the whole block, as in circuit-breaker-defaults.',
    subjects: (set) => ofKind(set, 'DestinationRule').filter(isInside),
    wrong: (rule) =>
      differences('spec.trafficPolicy', rule['spec'].trafficPolicy ?? {}, LIMITS).map(
        (what) => `${idOf(rule)}: ${what}`,
      ),
  }),
  inSets({
    gate: 'G6',
    name: 'no subset has a traffic policy of its own',
    why: 'What it names replaces the same part of the rule’s: the subset loses its limits, and each subset counts by itself.',
    mend: 'Remove it; limits stand in spec.trafficPolicy.',
    subjects: (set) => ofKind(set, 'DestinationRule'),
    wrong: (rule) =>
      ((rule['spec'].subsets ?? []) as readonly { name: string; trafficPolicy?: object }[])
        .filter(({ trafficPolicy }) => trafficPolicy !== undefined)
        .map(({ name }) => `${idOf(rule)}: subset ${name} has a trafficPolicy`),
  }),
  inSets({
    gate: 'G6',
    name: 'no DestinationRule has a field that is ignored',
    why: 'consecutiveErrors is accepted and does nothing (Envoy’s own 5 hides it); maxRetries does nothing beside a retryBudget.',
    mend: 'consecutive5xxErrors; retryBudget.',
    subjects: (set) => ofKind(set, 'DestinationRule'),
    wrong: (rule) =>
      ['consecutiveErrors', 'maxRetries']
        .flatMap((field) => fieldsNamed(field, rule['spec'], 'spec'))
        .map(({ path, value }) => `${idOf(rule)}: ${path} is ${value}`),
  }),
  inSets({
    gate: 'G6',
    name: 'no caller inside the mesh says how it speaks TLS',
    why: 'The proxies agree on mTLS by themselves; a `tls` block of DISABLE or SIMPLE makes them send plain text, or another certificate.',
    mend: 'Remove the tls block.',
    subjects: (set) => ofKind(set, 'DestinationRule').filter(isInside),
    wrong: (rule) =>
      fieldsNamed('tls', rule['spec'], 'spec').map(
        ({ path, value }) => `${idOf(rule)}: ${path} is ${JSON.stringify(value)}`,
      ),
  }),
  inSets({
    gate: 'G6',
    name: 'a DestinationRule holds for every caller',
    why: 'With exportTo or a workloadSelector the callers of other namespaces, the ingress among them, have no limits.',
    mend: 'Remove it.',
    subjects: (set) => ofKind(set, 'DestinationRule').filter(isInside),
    wrong: (rule) =>
      ['exportTo', 'workloadSelector']
        .filter((field) => rule['spec'][field] !== undefined)
        .map((field) => `${idOf(rule)}: spec.${field} is ${JSON.stringify(rule['spec'][field])}`),
  }),
]
