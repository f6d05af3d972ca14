/** G13. */
import { type BrokenCopy, beside, double, rewrite, set, unset } from './edits.ts'
import { JWT, MESH_TELEMETRY, PAYMENT, PAYMENT_RETRY, STRICT } from './names.ts'

const ENV = '/spec/template/spec/containers/0/env'

export const productionCopies: readonly BrokenCopy[] = [
  {
    mistake: 'a component for trying out in production',
    gate: 'G13',
    breaks: [
      rewrite(
        'overlays/production/apps/kustomization.yaml',
        'images:\n',
        'components:\n  - ../../../components/app-faults\nimages:\n',
      ),
    ],
    says: /components has \.\.\/\.\.\/\.\.\/components\/app-faults/,
  },
  {
    mistake: 'a service that loads another program',
    gate: 'G13',
    breaks: [set(PAYMENT, `${ENV}/-`, { name: 'NODE_OPTIONS', value: '--import=/tmp/x.mjs' })],
    says: /payment-service: env has NODE_OPTIONS/,
  },
  {
    mistake: 'a route that injects a fault',
    gate: 'G13',
    breaks: [
      set(PAYMENT_RETRY, '/spec/http/1/fault', {
        abort: { httpStatus: 503, percentage: { value: 100 } },
      }),
    ],
    says: /payment-service-retry: spec\.http\[1\]\.fault is there/,
  },
  {
    mistake: 'the simulator as the card processor',
    gate: 'G13',
    breaks: [
      set('ServiceEntry order-management/psp', '/spec/endpoints', [
        { address: 'card-processor.card-processor.svc.cluster.local' },
      ]),
    ],
    says: /ServiceEntry order-management\/psp is there with spec\.endpoints/,
  },
  {
    mistake: 'the simulator itself',
    gate: 'G13',
    breaks: [double('Service order-management/payment-service', 'card-processor')],
    says: /Service order-management\/card-processor is there/,
  },
  {
    mistake: 'token keys in a manifest',
    gate: 'G13',
    breaks: [set(JWT, '/spec/jwtRules/0/jwks', '{"keys":[]}')],
    says: /spec\.jwtRules\[0\]\.jwks is inline/,
  },
  {
    mistake: 'token keys over plain HTTP',
    gate: 'G13',
    breaks: [set(JWT, '/spec/jwtRules/0/jwksUri', 'http://issuer.example.com/jwks.json')],
    says: /jwksUri is http:\/\/issuer/,
  },
  {
    mistake: 'a service that thinks it is in a lab',
    gate: 'G13',
    breaks: [set(PAYMENT, `${ENV}/0/value`, 'lab')],
    says: /payment-service: env DEPLOYMENT is lab/,
  },
  {
    mistake: 'every request is traced',
    gate: 'G13',
    breaks: [set(MESH_TELEMETRY, '/spec/tracing/0/randomSamplingPercentage', 100)],
    says: /mesh-telemetry: .*randomSamplingPercentage is 100/,
  },
  {
    mistake: 'plain text is accepted everywhere',
    gate: 'G13',
    breaks: [set(STRICT, '/spec/mtls/mode', 'PERMISSIVE')],
    says: /default-strict-mtls: spec\.mtls\.mode is PERMISSIVE/,
  },
  {
    mistake: 'plain text is accepted on another port',
    gate: 'G13',
    breaks: [
      set('PeerAuthentication jaeger/jaeger-query-plaintext', '/spec/portLevelMtls', {
        4318: { mode: 'PERMISSIVE' },
      }),
    ],
    says: /spec\.portLevelMtls\.4318\.mode is PERMISSIVE/,
  },
  {
    mistake: 'all pods on one node',
    gate: 'G13',
    breaks: [
      set(
        PAYMENT,
        '/spec/template/spec/topologySpreadConstraints/0/whenUnsatisfiable',
        'ScheduleAnyway',
      ),
    ],
    says: /payment-service: topologySpreadConstraints has ScheduleAnyway/,
  },
  {
    mistake: 'one gateway',
    gate: 'G13',
    breaks: [unset('Deployment istio-ingress/istio-ingressgateway', '/spec/replicas')],
    says: /istio-ingressgateway: 1 replica/,
  },
  {
    mistake: 'a patch of the proxies',
    gate: 'G13',
    breaks: [
      beside(STRICT, {
        apiVersion: 'networking.istio.io/v1alpha3',
        kind: 'EnvoyFilter',
        metadata: { name: 'tuning', namespace: 'istio-system' },
        spec: { configPatches: [] },
      }),
    ],
    says: /EnvoyFilter istio-system\/tuning is there/,
  },
  {
    mistake: 'a spread that counts nobody',
    gate: 'G13',
    breaks: [
      unset(
        PAYMENT,
        '/spec/template/spec/topologySpreadConstraints/0/labelSelector/matchLabels/app',
      ),
    ],
    says: /payment-service: topologySpreadConstraints does not count its own pods/,
  },
]
