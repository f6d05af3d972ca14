/** G4. */
import { type BrokenCopy, double, drop, set, unset } from './edits.ts'
import { DEFAULTS, NAMESPACE, ORDER, PAYMENT, PAYMENT_BREAKER } from './names.ts'

const PAYMENT_SERVICE = 'Service order-management/payment-service'
const INGRESS = 'Deployment istio-ingress/istio-ingressgateway'
const PAYMENT_BUDGET = 'PodDisruptionBudget order-management/payment-service'
const PAYMENT_SCALER = 'HorizontalPodAutoscaler order-management/payment-service'
const PAYMENT_JOB = 'Job order-management/payment-service-migrate'
const DEFAULT_DENY = 'NetworkPolicy order-management/default-deny'
const EVERY_POD = 'NetworkPolicy order-management/every-pod'

export const serviceCopies: readonly BrokenCopy[] = [
  {
    mistake: 'a port without a name',
    gate: 'G4',
    breaks: [unset(PAYMENT_SERVICE, '/spec/ports/0/name')],
    says: /payment-service: the port 8080 is named ""/,
  },
  {
    mistake: 'a port of HTTP by another name',
    gate: 'G4',
    breaks: [set(PAYMENT_SERVICE, '/spec/ports/0/name', 'web')],
    says: /the port 8080 is named "web"/,
  },
  {
    mistake: 'a Service whose selector nobody has',
    gate: 'G4',
    breaks: [set(PAYMENT_SERVICE, '/spec/selector/app', 'payments')],
    says: /spec\.selector \{"app":"payments"\} selects no pods/,
  },
  {
    mistake: 'a targetPort that no container has',
    gate: 'G4',
    breaks: [set(PAYMENT_SERVICE, '/spec/ports/0/targetPort', 'web')],
    says: /no container has the port web/,
  },
  {
    mistake: 'a service that runs as default',
    gate: 'G4',
    breaks: [unset(PAYMENT, '/spec/template/spec/serviceAccountName')],
    says: /payment-service: serviceAccountName is missing, it runs as default/,
  },
  {
    mistake: 'a service that runs as another one',
    gate: 'G4',
    breaks: [set(PAYMENT, '/spec/template/spec/serviceAccountName', 'order-service')],
    says: /serviceAccountName order-service is also that of Deployment order-management\/order-service/,
  },
  {
    mistake: 'an account that nobody made',
    gate: 'G4',
    breaks: [drop('ServiceAccount order-management/payment-service')],
    says: /payment-service is no ServiceAccount of order-management/,
  },
  {
    mistake: 'a service without a disruption budget',
    gate: 'G4',
    breaks: [drop(PAYMENT_BUDGET)],
    says: /payment-service: 0 PodDisruptionBudgets/,
  },
  {
    mistake: 'two budgets for the same pods',
    gate: 'G4',
    breaks: [double(PAYMENT_BUDGET, 'payment-service-too')],
    says: /payment-service: 2 PodDisruptionBudgets .*payment-service-too/,
  },
  {
    mistake: 'replicas beside an autoscaler',
    gate: 'G4',
    breaks: [set(PAYMENT, '/spec/replicas', 3)],
    says: /spec\.replicas is 3, and 1 HorizontalPodAutoscalers scale it/,
  },
  {
    mistake: 'an autoscaler of a Deployment that was renamed',
    gate: 'G4',
    breaks: [set(PAYMENT_SCALER, '/spec/scaleTargetRef/name', 'payments')],
    says: /scaleTargetRef Deployment payments is not there/,
  },
  {
    mistake: 'a service without limits',
    gate: 'G4',
    breaks: [drop(DEFAULTS), drop(PAYMENT_BREAKER)],
    says: /Service order-management\/payment-service: no DestinationRule/,
  },
  {
    mistake: 'a new service outside of the rules',
    gate: 'G4',
    breaks: [
      double(PAYMENT_SERVICE, 'refund-service', { selector: { app: 'refund-service' } }),
      double(PAYMENT, 'refund-service'),
    ],
    says: /Service order-management\/refund-service: no row of e2e\/authz-matrix\.ts/,
  },
  {
    mistake: 'a service without its migration',
    gate: 'G4',
    breaks: [drop(PAYMENT_JOB)],
    says: /Job order-management\/payment-service-migrate is not there/,
  },
  {
    mistake: 'a migration that runs as the service',
    gate: 'G4',
    breaks: [set(PAYMENT_JOB, '/spec/template/spec/serviceAccountName', 'payment-service')],
    says: /serviceAccountName is payment-service, not payment-service-migrate/,
  },
  {
    mistake: 'a service that can change its schema',
    gate: 'G4',
    breaks: [
      set(
        PAYMENT,
        '/spec/template/spec/volumes/0/secret/secretName',
        'payment-service-database-owner',
      ),
    ],
    says: /Deployment .*payment-service: it mounts the Secret payment-service-database-owner/,
  },
  {
    mistake: 'a namespace without injection',
    gate: 'G4',
    breaks: [unset(NAMESPACE, '/metadata/labels/istio-injection')],
    says: /istio-injection is missing, not enabled/,
  },
  {
    mistake: 'both labels of injection',
    gate: 'G4',
    breaks: [set(NAMESPACE, '/metadata/labels/istio.io~1rev', 'canary')],
    says: /istio\.io\/rev beside istio-injection/,
  },
  {
    mistake: 'a database without a sidecar',
    gate: 'G4',
    breaks: [
      set('StatefulSet order-management/postgres', '/spec/template/metadata/annotations', {
        'sidecar.istio.io/inject': 'false',
      }),
    ],
    says: /StatefulSet order-management\/postgres: sidecar\.istio\.io\/inject is "false"/,
  },
  {
    mistake: 'probes that go past the proxy',
    gate: 'G4',
    breaks: [
      set(
        PAYMENT,
        '/spec/template/metadata/annotations/sidecar.istio.io~1rewriteAppHTTPProbers',
        'false',
      ),
    ],
    says: /rewriteAppHTTPProbers is "false"/,
  },
  {
    mistake: 'a pod that chooses its own statistics',
    gate: 'G4',
    breaks: [
      set(
        PAYMENT,
        '/spec/template/metadata/annotations/sidecar.istio.io~1statsInclusionPrefixes',
        'cluster',
      ),
    ],
    says: /statsInclusionPrefixes is "cluster"/,
  },
  {
    mistake: 'a gateway that cannot read its certificate',
    gate: 'G4',
    breaks: [drop('Role istio-ingress/istio-ingressgateway')],
    says: /no Role lets istio-ingressgateway read secrets/,
  },
  {
    mistake: 'a gateway without the template of a gateway',
    gate: 'G4',
    breaks: [unset(INGRESS, '/spec/template/metadata/annotations/inject.istio.io~1templates')],
    says: /inject\.istio\.io\/templates is not gateway/,
  },
  {
    mistake: 'a service that is not scraped',
    gate: 'G4',
    breaks: [unset(PAYMENT, '/spec/template/metadata/annotations/prometheus.io~1scrape')],
    says: /prometheus\.io\/scrape is missing, not true/,
  },
  {
    mistake: 'a service whose spans all say "other"',
    gate: 'G4',
    breaks: [unset(ORDER, '/spec/template/metadata/annotations/proxy.istio.io~1config')],
    says: /proxy\.istio\.io\/config has no OMS_SERVICE_TYPE/,
  },
  {
    mistake: 'ready before the schema is there',
    gate: 'G4',
    breaks: [
      set(PAYMENT, '/spec/template/spec/containers/0/readinessProbe/httpGet/path', '/health'),
    ],
    says: /readinessProbe\.httpGet\.path is \/health, not \/ready/,
  },
  {
    mistake: 'a Deployment that selects the canary’s pods, too',
    gate: 'G4',
    breaks: [
      double(ORDER, 'order-service-canary', {
        selector: { matchLabels: { app: 'order-service' } },
      }),
    ],
    says: /spec\.selector also selects the pods of Deployment order-management\/order-service\b/,
  },
  {
    mistake: 'a Deployment that does not select its own pods',
    gate: 'G4',
    breaks: [set(PAYMENT, '/spec/template/metadata/labels/version', 'v1')],
    says: /spec\.selector does not select its own template/,
  },
  {
    mistake: 'a rollout that takes pods away first',
    gate: 'G4',
    breaks: [set(PAYMENT, '/spec/strategy/rollingUpdate/maxUnavailable', 1)],
    says: /maxUnavailable 1, maxSurge 1/,
  },
  {
    mistake: 'the network closes the way to the database',
    gate: 'G4',
    breaks: [drop('NetworkPolicy order-management/migrations')],
    says: /Job .*order-service-migrate → StatefulSet .*postgres:5432: no Egress rule/,
  },
  {
    mistake: 'the network closes DNS',
    gate: 'G4',
    breaks: [unset(EVERY_POD, '/spec/egress/0')],
    says: /→ DNS:53: no Egress rule/,
  },
  {
    mistake: 'a NetworkPolicy with the Service’s port in place of the container’s',
    gate: 'G4',
    breaks: [
      set('NetworkPolicy istio-egress/istio-egressgateway', '/spec/ingress/0/ports/0/port', 443),
    ],
    says: /payment-service → Deployment istio-egress\/istio-egressgateway:8443: no Ingress rule/,
  },
  {
    mistake: 'the network lets a service to whom it does not call',
    gate: 'G4',
    breaks: [
      set('NetworkPolicy order-management/payment-service', '/spec/ingress/0/from/0', {
        podSelector: {},
      }),
      set('NetworkPolicy order-management/inventory-service', '/spec/egress/0/to/0', {
        podSelector: {},
      }),
    ],
    says: /inventory-service → Deployment .*payment-service:8080: the NetworkPolicies admit it/,
  },
  {
    mistake: 'the database is open to every namespace',
    gate: 'G4',
    breaks: [unset('NetworkPolicy order-management/postgres', '/spec/ingress/0/from')],
    says: /a pod of another namespace → StatefulSet .*postgres:5432: the NetworkPolicies admit it/,
  },
  {
    mistake: 'nothing is refused by default',
    gate: 'G4',
    breaks: [
      drop(DEFAULT_DENY),
      set(EVERY_POD, '/spec/policyTypes', ['Egress']),
      drop('NetworkPolicy order-management/postgres'),
    ],
    says: /StatefulSet .*postgres: no NetworkPolicy selects its pods for Ingress/,
  },
  {
    mistake: 'a service goes out by itself',
    gate: 'G4',
    breaks: [
      set('NetworkPolicy order-management/payment-service', '/spec/egress/-', {
        to: [{ ipBlock: { cidr: '0.0.0.0/0' } }],
      }),
    ],
    says: /payment-service: spec\.egress leads to addresses/,
  },
]
