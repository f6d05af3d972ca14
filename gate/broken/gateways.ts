/** G6, G4: the gateways' own objects. */
import { type BrokenCopy, set, unset } from './edits.ts'

const POD = '/spec/template/spec'
const PROXY = `${POD}/containers/0`

function copiesOf(app: 'ingressgateway' | 'egressgateway'): readonly BrokenCopy[] {
  const id = (kind: string): string => `${kind} istio-${app.replace('gateway', '')}/istio-${app}`
  const copies: readonly Omit<BrokenCopy, 'gate'>[] = [
    {
      mistake: 'a port whose name is of another protocol',
      breaks: [set(id('Service'), '/spec/ports/0/name', 'http')],
      says: /spec\.ports\[0\]\.name is "http", not "https"/,
    },
    {
      mistake: 'more pods than the limits are made for',
      breaks: [set(id('Deployment'), '/spec/replicas', 5)],
      says: /spec\.replicas is 5, not 2/,
    },
    {
      mistake: 'a drain that waits for idle clients',
      breaks: [set(id('Deployment'), `${POD}/terminationGracePeriodSeconds`, 600)],
      says: /terminationGracePeriodSeconds is 600, not 60/,
    },
    {
      mistake: 'a rollout that ends on one node',
      breaks: [unset(id('Deployment'), `${POD}/topologySpreadConstraints/0/matchLabelKeys`)],
      says: /matchLabelKeys is missing/,
    },
    {
      mistake: 'a container that nobody fills in',
      breaks: [set(id('Deployment'), `${PROXY}/name`, 'envoy')],
      says: /name is "envoy", not "istio-proxy"/,
    },
    {
      mistake: 'a start that needs the registry',
      breaks: [unset(id('Deployment'), `${PROXY}/imagePullPolicy`)],
      says: /imagePullPolicy is missing/,
    },
    {
      mistake: 'a proxy with a worker for each processor of the node',
      breaks: [unset(id('Deployment'), `${PROXY}/resources/limits/cpu`)],
      says: /limits\.cpu is missing, it must be "2000m"/,
    },
    {
      mistake: 'a policy for every pod beside the gateway',
      breaks: [set(id('NetworkPolicy'), '/spec/podSelector', {})],
      says: /podSelector\.matchLabels is missing/,
    },
  ]
  return copies.map((copy) => ({ ...copy, gate: 'G6', mistake: `${app}: ${copy.mistake}` }))
}

export const gatewayCopies: readonly BrokenCopy[] = [
  ...copiesOf('ingressgateway'),
  ...copiesOf('egressgateway'),
  {
    mistake: 'a gateway that no client reaches',
    gate: 'G4',
    breaks: [
      set('NetworkPolicy istio-ingress/istio-ingressgateway', '/spec/ingress/0/ports/0/port', 443),
    ],
    says: /the internet → Deployment istio-ingress\/istio-ingressgateway:8443: no Ingress rule/,
  },
  {
    mistake: 'a gateway with a key to the API server',
    gate: 'G4',
    breaks: [
      set(
        'Deployment istio-egress/istio-egressgateway',
        `${POD}/automountServiceAccountToken`,
        true,
      ),
    ],
    says: /istio-egressgateway: automountServiceAccountToken is not false/,
  },
]
