/** G6: the gateways’ own objects, alike for the way in and the way out. */
import { INTERNET, isOpen } from '../network.ts'
import { podsOf } from '../objects.ts'
import { type Pin, pinned } from '../pin.ts'
import { inSets, isProduction, type Rule } from '../rule.ts'

interface GatewayPin extends Omit<Pin, 'of' | 'is'> {
  readonly kind: string
  /** @param app label `istio` of its pods. */
  readonly is: (app: string) => unknown
}

const POD = ['spec', 'template', 'spec'] as const
const PROXY = [...POD, 'containers', '0'] as const

const PINS: readonly GatewayPin[] = [
  {
    kind: 'Service',
    at: ['spec', 'ports'],
    is: () => [{ name: 'https', port: 443, targetPort: 8443 }],
    why: 'The name tells the callers’ proxies what is spoken there; beside it, a port 80 would let a token travel in clear.',
  },
  {
    kind: 'Deployment',
    at: ['spec', 'replicas'],
    is: () => 2,
    why: 'One is gone with its node. Limits are for each calling pod: every gateway more lets a hundred requests more through to each service.',
    sets: isProduction,
  },
  {
    kind: 'Deployment',
    at: [...POD, 'terminationGracePeriodSeconds'],
    is: () => 60,
    why: 'The longest route takes 12 s. A gateway waits for connections, not for requests: of a longer grace every idle client makes a longer drain of the node.',
  },
  {
    kind: 'Deployment',
    at: [...POD, 'topologySpreadConstraints'],
    is: (app) => [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'DoNotSchedule',
        nodeTaintsPolicy: 'Honor',
        matchLabelKeys: ['pod-template-hash'],
        labelSelector: { matchLabels: { istio: app } },
      },
    ],
    why: 'Without pod-template-hash a rollout counts the pods that are about to go, and the new ones end on one node; without Honor a control plane’s empty node keeps them Pending.',
    sets: isProduction,
  },
  {
    kind: 'Deployment',
    at: [...PROXY, 'name'],
    is: () => 'istio-proxy',
    why: 'istiod fills in the container of this name; under another it adds a second one, and the image of the first is `auto`: ErrImagePull.',
  },
  {
    kind: 'Deployment',
    at: [...PROXY, 'imagePullPolicy'],
    is: () => 'IfNotPresent',
    why: 'For an image without a tag, which `auto` is when the pod is made, the default is Always: no gateway starts while the registry is away.',
  },
  {
    kind: 'Deployment',
    at: [...PROXY, 'resources'],
    is: () => ({
      requests: { cpu: '100m', memory: '128Mi' },
      limits: { cpu: '2000m', memory: '1Gi' },
    }),
    why: 'A proxy has as many workers as its limit has CPUs, of the node’s without one; docs/production.md counts with the requests.',
    sets: isProduction,
  },
  {
    kind: 'NetworkPolicy',
    at: ['spec', 'podSelector'],
    is: (app) => ({ matchLabels: { istio: app } }),
    why: 'An empty selector is every pod of the namespace: what is open for the gateway is then open for whatever comes to stand beside it.',
  },
]

const APPS = ['ingressgateway', 'egressgateway'] as const

function pinsOf(app: (typeof APPS)[number]): readonly Pin[] {
  const namespace = `istio-${app.replace('gateway', '')}`
  return PINS.map(({ kind, is, ...pin }) => ({
    ...pin,
    of: `${kind} ${namespace}/istio-${app}`,
    is: is(app),
  }))
}

export const gatewayRules: readonly Rule[] = [
  ...APPS.flatMap(pinsOf).map(pinned),
  inSets({
    gate: 'G4',
    name: 'whoever must come in may',
    why: 'Clients have no labels: a policy without their port refuses the whole world, on clusters with an engine for policies, and nowhere else.',
    mend: 'Ingress to port 8443 from anywhere in the policy of istio-ingressgateway.',
    subjects: (set) => podsOf(set).filter(({ labels }) => labels['istio'] === 'ingressgateway'),
    wrong: (to, set) =>
      isOpen(set, 'Ingress', { from: INTERNET, to, port: 8443 }) === false
        ? [`the internet → ${to.id}:8443: no Ingress rule of a NetworkPolicy admits it`]
        : [],
  }),
]
