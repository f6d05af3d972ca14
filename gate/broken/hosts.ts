/** G7: hosts, subsets, gateways. */
import { type BrokenCopy, double, set, unset } from './edits.ts'
import { CANARY, ORDER_SUBSETS, PAYMENT_BREAKER, PAYMENT_RETRY, THROUGH_EGRESS } from './names.ts'

const PSP = 'ServiceEntry order-management/psp'
const ORDERS_GATEWAY = 'Gateway istio-ingress/orders-gateway'

export const hostCopies: readonly BrokenCopy[] = [
  {
    mistake: 'a route to a name that nobody has',
    gate: 'G7',
    breaks: [
      set(
        PAYMENT_RETRY,
        '/spec/http/0/route/0/destination/host',
        'payments.order-management.svc.cluster.local',
      ),
    ],
    says: /destination\.host is payments\.order-management\.svc\.cluster\.local: no Service/,
  },
  {
    mistake: 'a short name',
    gate: 'G7',
    breaks: [set(PAYMENT_RETRY, '/spec/http/0/route/0/destination/host', 'payment-service')],
    says: /destination\.host is payment-service: no Service or ServiceEntry/,
  },
  {
    mistake: 'a port that the Service does not have',
    gate: 'G7',
    breaks: [set(THROUGH_EGRESS, '/spec/http/0/route/0/destination/port/number', 8443)],
    says: /destination\.port\.number is 8443: istio-egressgateway\..* has 443/,
  },
  {
    mistake: 'no port where there are two',
    gate: 'G7',
    breaks: [unset(THROUGH_EGRESS, '/spec/http/1/route/0/destination/port')],
    says: /destination\.port is missing: psp\.example\.com has 2/,
  },
  {
    mistake: 'limits for a host with a typo',
    gate: 'G7',
    breaks: [set(PAYMENT_BREAKER, '/spec/host', 'payment.order-management.svc.cluster.local')],
    says: /spec\.host is payment\.order-management\.svc\.cluster\.local: no Service/,
  },
  {
    mistake: 'a subset that is not declared',
    gate: 'G7',
    breaks: [unset(ORDER_SUBSETS, '/spec/subsets/1')],
    says: /destination\.subset is canary: no DestinationRule for order-service/,
  },
  {
    mistake: 'a subset with a typo in its label',
    gate: 'G7',
    breaks: [set(ORDER_SUBSETS, '/spec/subsets/1/labels/version', 'canry')],
    says: /subset canary has the labels \{"version":"canry"\}: no pod has them/,
  },
  {
    mistake: 'two rules for one host',
    gate: 'G7',
    breaks: [double(PAYMENT_BREAKER, 'payment-service-tuning')],
    says: /payment-service-tuning: spec\.host is .*, as in .*payment-service-circuit-breaker/,
  },
  {
    mistake: 'a rule in the client’s namespace',
    gate: 'G7',
    breaks: [set(PAYMENT_BREAKER, '/metadata/namespace', 'istio-ingress')],
    says: /istio-ingress\/payment-service-circuit-breaker: spec\.host is of the namespace order-management/,
  },
  {
    mistake: 'two VirtualServices for one host',
    gate: 'G7',
    breaks: [double(PAYMENT_RETRY, 'payment-service-timeout')],
    says: /payment-service-timeout: spec\.hosts has payment-service\..*, as .*payment-service-retry/,
  },
  {
    mistake: 'a route of the ingress without its gateway',
    gate: 'G7',
    breaks: [unset(CANARY, '/spec/gateways')],
    says: /spec\.hosts has orders\.example\.com, which is no Service; spec\.gateways is mesh/,
  },
  {
    mistake: 'a gateway without its namespace',
    gate: 'G7',
    breaks: [set(CANARY, '/spec/gateways', ['orders-gateway'])],
    says: /spec\.gateways has orders-gateway, which is not there/,
  },
  {
    mistake: 'a gateway that does not admit the host',
    gate: 'G7',
    breaks: [set(ORDERS_GATEWAY, '/spec/servers/0/hosts', ['istio-ingress/*'])],
    says: /spec\.hosts has orders\.example\.com, which .*orders-gateway does not admit/,
  },
  {
    mistake: 'a gateway on the container’s port',
    gate: 'G7',
    breaks: [set(ORDERS_GATEWAY, '/spec/servers/0/port/number', 8443)],
    says: /spec\.servers has the port 8443, its Service has 443/,
  },
  {
    mistake: 'the egress gateway does not know the card processor',
    gate: 'G7',
    breaks: [set(PSP, '/spec/exportTo', ['.'])],
    says: /psp: spec\.exportTo is \., without istio-egress/,
  },
  {
    mistake: 'a route that takes what was meant for the next',
    gate: 'G7',
    breaks: [unset(PAYMENT_RETRY, '/spec/http/0/match')],
    says: /spec\.http\[1\] is never reached: .*spec\.http\[0\] takes all its requests/,
  },
  {
    mistake: 'a rule for every namespace',
    gate: 'G7',
    breaks: [set(PAYMENT_BREAKER, '/spec/host', '*.local')],
    says: /payment-service-circuit-breaker: spec\.host is of the namespace all/,
  },
  {
    mistake: 'a share for whoever has the label or not',
    gate: 'G7',
    breaks: [unset(CANARY, '/spec/http/1/route/0/destination/subset')],
    says: /spec\.http\[1\]\.route\[0\]\.destination\.subset is missing/,
  },
  {
    mistake: 'a subset of every pod',
    gate: 'G7',
    breaks: [unset(ORDER_SUBSETS, '/spec/subsets/1/labels/version')],
    says: /subset canary has the labels \{\}: no pod has them/,
  },
  {
    mistake: 'an empty list of gateways, which is the mesh',
    gate: 'G7',
    breaks: [set(CANARY, '/spec/gateways', [])],
    says: /spec\.hosts has orders\.example\.com, which is no Service; spec\.gateways is mesh/,
  },
]
