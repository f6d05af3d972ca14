/** G9 to G12: what sidecars know, alerts, pod security, Argo CD. */
import { type BrokenCopy, drop, put, rewrite, set, type ToolBrokenCopy, unset } from './edits.ts'
import { ALERTS, APPLICATION, ISTIO, NAMESPACE, PAYMENT, SIDECAR } from './names.ts'

const HOSTS = '/spec/egress/0/hosts'
const POD = '/spec/template/spec'
const TENANT_SIDECAR = 'Sidecar tenant-a/default'
const FIRST_RULE = '/spec/groups/0/rules/0'
const TESTS = 'istio-control-plane/alerts.test.yaml'

export const operationCopies: readonly BrokenCopy[] = [
  {
    mistake: 'a Sidecar that does not know Jaeger',
    gate: 'G9',
    breaks: [unset(SIDECAR, `${HOSTS}/2`)],
    says: /order-management\/default: spec\.egress\[\]\.hosts lacks jaeger\/\*: the provider of traces/,
  },
  {
    mistake: 'a Sidecar without DNS over TCP',
    gate: 'G9',
    breaks: [unset(SIDECAR, `${HOSTS}/3`)],
    says: /lacks kube-system\/kube-dns/,
  },
  {
    mistake: 'a Sidecar without the way out',
    gate: 'G9',
    breaks: [unset(SIDECAR, `${HOSTS}/1`)],
    says: /lacks istio-egress\/\*: the way to the card processor/,
  },
  {
    mistake: 'a tenant’s Sidecar that does not know Jaeger',
    gate: 'G9',
    breaks: [unset(TENANT_SIDECAR, `${HOSTS}/1`)],
    says: /tenant-a\/default: spec\.egress\[\]\.hosts lacks jaeger\/\*/,
  },
  {
    mistake: 'a tenant that sees the others',
    gate: 'G9',
    breaks: [set(TENANT_SIDECAR, `${HOSTS}/-`, '*/*')],
    says: /tenant-a\/default: spec\.egress\[\]\.hosts has \*\/\*/,
  },
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
    mistake: 'a container that may become more',
    gate: 'G11',
    breaks: [set(PAYMENT, `${POD}/containers/0/securityContext/allowPrivilegeEscalation`, true)],
    says: /payment-service: container payment-service: securityContext\.allowPrivilegeEscalation is not false/,
  },
  {
    mistake: 'a container with every capability',
    gate: 'G11',
    breaks: [unset(PAYMENT, `${POD}/containers/0/securityContext/capabilities`)],
    says: /capabilities\.drop lacks ALL/,
  },
  {
    mistake: 'a folder of the node',
    gate: 'G11',
    breaks: [set(PAYMENT, `${POD}/volumes/-`, { name: 'logs', hostPath: { path: '/var/log' } })],
    says: /volume logs is of kind hostPath/,
  },
  {
    mistake: 'a seccomp profile of the container alone',
    gate: 'G11',
    breaks: [
      unset(PAYMENT, `${POD}/securityContext/seccompProfile`),
      set(PAYMENT, `${POD}/containers/0/securityContext/seccompProfile`, {
        type: 'RuntimeDefault',
      }),
    ],
    says: /the pod’s securityContext\.seccompProfile is not RuntimeDefault/,
  },
  {
    mistake: 'a namespace that enforces nothing',
    gate: 'G11',
    breaks: [unset(NAMESPACE, '/metadata/labels/pod-security.kubernetes.io~1enforce')],
    says: /Namespace order-management: pod-security\.kubernetes\.io\/enforce is missing/,
  },
  {
    mistake: 'a namespace too strict for the CNI plugin',
    gate: 'G11',
    breaks: [
      set(
        'Namespace istio-cni',
        '/metadata/labels/pod-security.kubernetes.io~1enforce',
        'restricted',
      ),
    ],
    says: /Namespace istio-cni: pod-security\.kubernetes\.io\/enforce is restricted, not privileged/,
  },
  {
    mistake: 'an Application of a folder that is not there',
    gate: 'G12',
    breaks: [set(APPLICATION, '/spec/source/path', 'k8s/overlays/prod/istio-config')],
    says: /spec\.source\.path is k8s\/overlays\/prod\/istio-config, no folder/,
  },
  {
    mistake: 'an Application in the wrong wave',
    gate: 'G12',
    breaks: [set(APPLICATION, '/metadata/annotations/argocd.argoproj.io~1sync-wave', '5')],
    says: /Application argocd\/istio-config: argocd\.argoproj\.io\/sync-wave is 5, not 3/,
  },
  {
    mistake: 'an Application that deploys itself',
    gate: 'G12',
    breaks: [
      rewrite(
        'istio-config/kustomization.yaml',
        '  - sidecar.yaml\n',
        '  - sidecar.yaml\n  - application.yaml\n',
      ),
    ],
    says: /resources has application\.yaml/,
  },
  {
    mistake: 'an Application that takes deny-all with it',
    gate: 'G12',
    breaks: [set(APPLICATION, '/metadata/finalizers', ['resources-finalizer.argocd.argoproj.io'])],
    says: /metadata\.finalizers is \["resources-finalizer/,
  },
  {
    mistake: 'a rollout that the next sync takes back',
    gate: 'G12',
    breaks: [unset(APPLICATION, '/spec/ignoreDifferences')],
    says: /spec\.ignoreDifferences is missing/,
  },
  {
    mistake: 'every change of the routes is ignored',
    gate: 'G12',
    breaks: [set(APPLICATION, '/spec/ignoreDifferences/0/jqPathExpressions', ['.spec.http'])],
    says: /jqPathExpressions is \["\.spec\.http"\], not \["\.spec\.http\[\]\.route\[\]\.weight"\]/,
  },
  {
    mistake: 'wave 3 waits for wave 4',
    gate: 'G12',
    breaks: [unset(APPLICATION, '/spec/syncPolicy/syncOptions/0')],
    says: /syncOptions lacks CreateNamespace=true/,
  },
  {
    mistake: 'the namespace is made without injection',
    gate: 'G12',
    breaks: [
      unset(APPLICATION, '/spec/syncPolicy/managedNamespaceMetadata/labels/istio-injection'),
    ],
    says: /managedNamespaceMetadata\.labels\.istio-injection is missing/,
  },
  {
    mistake: 'a migration that the second release cannot change',
    gate: 'G12',
    breaks: [
      unset(
        'Job order-management/payment-service-migrate',
        '/metadata/annotations/argocd.argoproj.io~1sync-options',
      ),
    ],
    says: /payment-service-migrate: the annotation sync-options is missing/,
  },
]

export const operationToolCopies: readonly ToolBrokenCopy[] = [
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
  {
    mistake: 'init containers that need NET_ADMIN',
    gate: 'G11',
    breaks: [set(ISTIO, '/spec/values/pilot/cni/enabled', false), drop('IstioCNI default')],
    says: /injected: container istio-init: securityContext\.capabilities\.add has NET_ADMIN/,
  },
  {
    mistake: 'a pod whose sidecar has no seccomp profile',
    gate: 'G11',
    breaks: [
      unset(PAYMENT, `${POD}/securityContext/seccompProfile`),
      set(PAYMENT, `${POD}/containers/0/securityContext/seccompProfile`, {
        type: 'RuntimeDefault',
      }),
    ],
    says: /payment-service, injected: container istio-proxy: securityContext\.seccompProfile is missing/,
  },
  {
    mistake: 'a pod without a sidecar',
    gate: 'G11',
    breaks: [set(PAYMENT, '/spec/template/metadata/annotations/sidecar.istio.io~1inject', 'false')],
    says: /payment-service, injected: no container istio-proxy was put in/,
  },
]
