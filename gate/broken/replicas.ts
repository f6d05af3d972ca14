/** G4: numbers of pods, budgets, rollouts. */
import { type BrokenCopy, double, drop, set, unset } from './edits.ts'
import { ORDER, PAYMENT } from './names.ts'

const PAYMENT_BUDGET = 'PodDisruptionBudget order-management/payment-service'
const PAYMENT_SCALER = 'HorizontalPodAutoscaler order-management/payment-service'

export const replicaCopies: readonly BrokenCopy[] = [
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
    mistake: 'an autoscaler that knows no request',
    gate: 'G4',
    breaks: [unset(PAYMENT, '/spec/template/spec/containers/0/resources/requests/cpu')],
    says: /payment-service: container payment-service: resources\.requests\.cpu is missing/,
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
]
