/** G8. */
import { type BrokenCopy, set, unset } from './edits.ts'
import {
  ALERTS,
  CANARY,
  INVENTORY_RETRY,
  ISTIO,
  PAYMENT,
  PAYMENT_BREAKER,
  PAYMENT_RETRY,
  SIDECAR,
} from './names.ts'

const PAYMENT_SCALER = 'HorizontalPodAutoscaler order-management/payment-service'

export const arithmeticCopies: readonly BrokenCopy[] = [
  {
    mistake: 'a timeout that leaves no time for the last try',
    gate: 'G8',
    breaks: [set(PAYMENT_RETRY, '/spec/http/0/timeout', '8s')],
    says: /spec\.http\[0\]\.timeout is 8s; 4 tries of 2s and pauses take 8275 ms/,
  },
  {
    mistake: 'the first try is counted as a retry',
    gate: 'G8',
    breaks: [set(PAYMENT_RETRY, '/spec/http/0/retries/attempts', 4)],
    says: /timeout is 10s; 5 tries of 2s/,
  },
  {
    mistake: 'a try that is cut before payment answers 202',
    gate: 'G8',
    breaks: [set(PAYMENT_RETRY, '/spec/http/0/retries/perTryTimeout', '1s')],
    says: /retries\.perTryTimeout is 1s; payment-service answers within 1700 ms/,
  },
  {
    mistake: 'a try that is cut before inventory answers',
    gate: 'G8',
    breaks: [set(INVENTORY_RETRY, '/spec/http/0/retries/perTryTimeout', '500ms')],
    says: /perTryTimeout is 500ms; inventory-service answers within 800 ms/,
  },
  {
    mistake: 'an ingress that gives up before order answers',
    gate: 'G8',
    breaks: [set(CANARY, '/spec/http/1/timeout', '10s')],
    says: /order-service-canary: spec\.http\[1\]\.timeout is 10s; order-service answers within 10500 ms/,
  },
  {
    mistake: 'a call inside that lasts longer than the one outside',
    gate: 'G8',
    breaks: [set(PAYMENT_RETRY, '/spec/http/0/timeout', '15s')],
    says: /spec\.http\[0\]\.timeout is 15s, the gateway’s to order-service is 12s/,
  },
  {
    mistake: 'weights that do not make a hundred',
    gate: 'G8',
    breaks: [set(CANARY, '/spec/http/1/route/0/weight', 90)],
    says: /the weights 90 \+ 0 make 90/,
  },
  {
    mistake: 'orders to a canary that has no pods',
    gate: 'G8',
    breaks: [
      set(CANARY, '/spec/http/1/route/0/weight', 90),
      set(CANARY, '/spec/http/1/route/1/weight', 10),
    ],
    says: /weight 10 goes to order-service\..*, subset canary, which has no pods/,
  },
  {
    mistake: 'one payment pod, of which none can be ejected',
    gate: 'G8',
    breaks: [set(PAYMENT_SCALER, '/spec/minReplicas', 1)],
    says: /maxEjectionPercent 50 of 1 pods is less than one/,
  },
  {
    mistake: 'an ejection of 10 %',
    gate: 'G8',
    breaks: [unset(PAYMENT_BREAKER, '/spec/trafficPolicy/outlierDetection/maxEjectionPercent')],
    says: /maxEjectionPercent 10 of 3 pods is less than one/,
  },
  {
    mistake: 'a server that has the limits of one caller',
    gate: 'G8',
    breaks: [unset(SIDECAR, '/spec/inboundConnectionPool')],
    says: /http\.http2MaxRequests is 100; the Sidecar’s inboundConnectionPool has none/,
  },
  {
    mistake: 'a pod that is killed with requests under way',
    gate: 'G8',
    breaks: [set(PAYMENT, '/spec/template/spec/terminationGracePeriodSeconds', 10)],
    says: /payment-service: terminationGracePeriodSeconds is 10, it needs more than 25/,
  },
  {
    mistake: 'a gateway that is killed in the middle of a call',
    gate: 'G8',
    breaks: [
      unset(
        'Deployment istio-ingress/istio-ingressgateway',
        '/spec/template/spec/terminationGracePeriodSeconds',
      ),
    ],
    says: /istio-ingressgateway: terminationGracePeriodSeconds is 30, it needs more than 48/,
  },
  {
    mistake: 'an autoscaler upside down',
    gate: 'G8',
    breaks: [set(PAYMENT_SCALER, '/spec/maxReplicas', 2)],
    says: /minReplicas 3, maxReplicas 2/,
  },
  {
    mistake: 'a budget that lets no pod go',
    gate: 'G8',
    breaks: [
      set('PodDisruptionBudget order-management/payment-service', '/spec/maxUnavailable', 0),
    ],
    says: /payment-service: spec\.maxUnavailable is 0, not 1/,
  },
  {
    mistake: 'an alert above the limit that ends istiod',
    gate: 'G8',
    breaks: [set(ISTIO, '/spec/values/pilot/resources/limits/memory', '1Gi')],
    says: /IstiodHighMemory fires above 1800000000, the limit is 1Gi/,
  },
  {
    mistake: 'an alert without a number',
    gate: 'G8',
    breaks: [set(ALERTS, '/spec/groups/0/rules/2/expr', 'max(container_memory_working_set_bytes)')],
    says: /IstiodHighMemory fires above NaN/,
  },
  {
    mistake: 'more pods than the database has connections for',
    gate: 'G8',
    breaks: [set(PAYMENT_SCALER, '/spec/maxReplicas', 50)],
    says: /max_connections is 500; the services’ pools take 7\d0/,
  },
]
