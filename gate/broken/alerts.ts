/** G10. */
import { type BrokenCopy, put, rewrite, set, type ToolBrokenCopy, unset } from './edits.ts'
import { ALERTS } from './names.ts'

const FIRST_RULE = '/spec/groups/0/rules/0'
const TESTS = 'istio-control-plane/alerts.test.yaml'

export const alertCopies: readonly BrokenCopy[] = [
  {
    mistake: 'an alert on a metric that was renamed',
    gate: 'G10',
    breaks: [
      set(
        ALERTS,
        '/spec/groups/0/rules/3/expr',
        'sum(pilot_xds_rejects) > sum(pilot_xds_rejects offset 5m)',
      ),
    ],
    says: /IstioConfigRejected: expr reads pilot_xds_rejects, which is not in observability\/metrics\.snapshot/,
  },
  {
    mistake: 'a snapshot that nobody sorted',
    gate: 'G10',
    breaks: [put('observability/metrics.snapshot', 'up\nabsent\n')],
    says: /it is not sorted, or empty/,
  },
  {
    mistake: 'an alert without a test',
    gate: 'G10',
    breaks: [set(ALERTS, '/spec/groups/0/rules/-', { alert: 'New', expr: 'vector(1)', for: '1m' })],
    says: /New: no test in which it fires/,
  },
  {
    mistake: 'an alert that is never shown to be silent',
    gate: 'G10',
    breaks: [rewrite(TESTS, '      - { eval_time: 30m, alertname: EndpointEjected }\n', '')],
    says: /EndpointEjected: no test in which it is silent/,
  },
  {
    mistake: 'an alert without a severity',
    gate: 'G10',
    breaks: [unset(ALERTS, `${FIRST_RULE}/labels`)],
    says: /IstiodDown: labels\.severity is missing/,
  },
  {
    mistake: 'an alert that says nothing',
    gate: 'G10',
    breaks: [unset(ALERTS, `${FIRST_RULE}/annotations/summary`)],
    says: /IstiodDown: annotations\.summary is missing/,
  },
  {
    mistake: 'an alert for a single scrape',
    gate: 'G10',
    breaks: [unset(ALERTS, `${FIRST_RULE}/for`)],
    says: /IstiodDown: for is missing/,
  },
  {
    mistake: 'up == 0, of a target that is gone',
    gate: 'G10',
    breaks: [set(ALERTS, `${FIRST_RULE}/expr`, 'up{job="istiod"} == 0')],
    says: /IstiodDown: expr has up\{job="istiod"\} == 0/,
  },
  {
    mistake: 'increase() of a counter that is born at 1',
    gate: 'G10',
    breaks: [
      set(ALERTS, '/spec/groups/0/rules/3/expr', 'increase(pilot_total_xds_rejects[5m]) > 0'),
    ],
    says: /IstioConfigRejected: expr has increase\(pilot_total_xds_rejects/,
  },
  {
    mistake: 'a rate over names that match',
    gate: 'G10',
    breaks: [
      set(ALERTS, '/spec/groups/1/rules/0/expr', 'rate({__name__=~"envoy_.*overflow"}[5m]) > 0'),
    ],
    says: /CircuitOpen: expr has \{__name__=~/,
  },
  {
    mistake: 'memory with the caches counted in',
    gate: 'G10',
    breaks: [
      set(ALERTS, '/spec/groups/0/rules/2/expr', 'max(container_memory_usage_bytes) > 1.8e9'),
    ],
    says: /IstiodHighMemory: expr has container_memory_usage_bytes/,
  },
  {
    mistake: 'an alert that was noisy',
    gate: 'G10',
    breaks: [unset(ALERTS, '/spec/groups/1/rules/3')],
    says: /TracesDropped is not there/,
  },
]

export const alertToolCopies: readonly ToolBrokenCopy[] = [
  {
    mistake: 'an expression that is no PromQL',
    gate: 'G10',
    breaks: [set(ALERTS, `${FIRST_RULE}/expr`, 'absent(up{job="istiod"} == 1')],
    says: /parse error: unclosed left parenthesis/,
  },
  {
    mistake: 'an alert that fires too late',
    gate: 'G10',
    breaks: [set(ALERTS, `${FIRST_RULE}/for`, '45m')],
    says: /alertname: IstiodDown, time: 30m,\s+exp:\[\s+0:/,
  },
  {
    mistake: 'an alert that always fires',
    gate: 'G10',
    breaks: [
      set(
        ALERTS,
        '/spec/groups/1/rules/1/expr',
        'sum by (cluster_name) (envoy_cluster_outlier_detection_ejections_active) >= 0',
      ),
    ],
    says: /alertname: EndpointEjected, time: 30m,\s+exp:\[\]/,
  },
  {
    mistake: 'a summary whose template is broken',
    gate: 'G10',
    breaks: [set(ALERTS, `${FIRST_RULE}/annotations/summary`, '{{ $value')],
    says: /annotation "summary": template: .* unclosed action/,
  },
]
