/** G4: NetworkPolicies. */
import { type BrokenCopy, beside, drop, set, unset } from './edits.ts'

const DEFAULT_DENY = 'NetworkPolicy order-management/default-deny'
const EVERY_POD = 'NetworkPolicy order-management/every-pod'

export const networkCopies: readonly BrokenCopy[] = [
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
    mistake: 'the egress gateway cannot go out',
    gate: 'G4',
    breaks: [
      set('NetworkPolicy istio-egress/istio-egressgateway', '/spec/egress/0/ports/0/port', 8443),
    ],
    says: /istio-egressgateway → the internet:443: no Egress rule/,
  },
  {
    mistake: 'istiod cannot fetch the token keys',
    gate: 'G4',
    breaks: [
      beside('PodDisruptionBudget istio-system/istiod-pdb', {
        apiVersion: 'networking.k8s.io/v1',
        kind: 'NetworkPolicy',
        metadata: { name: 'istiod', namespace: 'istio-system' },
        spec: { podSelector: { matchLabels: { app: 'istiod' } }, policyTypes: ['Egress'] },
      }),
    ],
    says: /istiod → the internet:443: no Egress rule/,
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
  {
    mistake: 'a way to every namespace',
    gate: 'G4',
    breaks: [
      unset(
        EVERY_POD,
        '/spec/egress/1/to/0/namespaceSelector/matchLabels/kubernetes.io~1metadata.name',
      ),
    ],
    says: /every-pod: spec\.egress\[1\] has a selector without labels/,
  },
  {
    mistake: 'a way on every port',
    gate: 'G4',
    breaks: [unset(EVERY_POD, '/spec/egress/1/ports')],
    says: /every-pod: spec\.egress\[1\]\.ports has every port/,
  },
  {
    mistake: 'a way from everyone',
    gate: 'G4',
    breaks: [set('NetworkPolicy order-management/payment-service', '/spec/ingress/0/from', [])],
    says: /payment-service: spec\.ingress\[0\] has no peers/,
  },
  {
    mistake: 'DNS by TCP only',
    gate: 'G4',
    breaks: [unset(EVERY_POD, '/spec/egress/0/ports/0/protocol')],
    says: /payment-service → DNS:53\/UDP: no Egress rule/,
  },
  {
    mistake: 'a way out that leads back in',
    gate: 'G4',
    breaks: [
      unset('NetworkPolicy istio-egress/istio-egressgateway', '/spec/egress/0/to/0/ipBlock/except'),
    ],
    says: /istio-egressgateway: spec\.egress\[0\]\.to\[0\]\.ipBlock\.except lacks 10\.0\.0\.0\/8/,
  },
]
