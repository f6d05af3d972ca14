/** G1. */
import { type BrokenCopy, double, put, removeFile, rewrite, type ToolBrokenCopy } from './edits.ts'
import { PAYMENT } from './names.ts'

export const kustomizeCopies: readonly BrokenCopy[] = [
  {
    mistake: 'a key stands twice in a file',
    gate: 'G1',
    breaks: [rewrite('istio-config/sidecar.yaml', 'kind: Sidecar', 'kind: Sidecar\nkind: Sidecar')],
    says: /Map keys must be unique/,
  },
  {
    mistake: 'a resource that is listed is not there',
    gate: 'G1',
    breaks: [removeFile('istio-config/sidecar.yaml')],
    says: /istio-config\/sidecar\.yaml is not there/,
  },
  {
    mistake: 'a file that nobody lists',
    gate: 'G1',
    breaks: [rewrite('istio-config/kustomization.yaml', '  - sidecar.yaml\n', '')],
    says: /no kustomization has it/,
  },
  {
    mistake: 'a base that a patch changes',
    gate: 'G1',
    breaks: [rewrite('apps/kustomization.yaml', 'resources:\n', 'patches: []\nresources:\n')],
    says: /patches is there/,
  },
  {
    mistake: 'a component takes a file from outside of its folder',
    gate: 'G1',
    breaks: [
      rewrite(
        'components/canary/workload/kustomization.yaml',
        '../../../apps/order-service-canary',
        '../../../apps/order-service-canary/order-service-canary.yaml',
      ),
    ],
    says: /order-service-canary\.yaml is outside of components\/canary\/workload/,
  },
  {
    mistake: 'a patch by number without a test of what stands there',
    gate: 'G1',
    breaks: [
      rewrite(
        'components/canary/routes/routes.yaml',
        '- op: test\n  path: /spec/http/1/route/1/destination/subset\n  value: canary\n',
        '',
      ),
    ],
    says: /replace \/spec\/http\/1\/route\/1\/weight, without a test of \/spec\/http\/1\/route\/1$/,
  },
  {
    mistake: 'a patch whose target was renamed',
    gate: 'G1',
    breaks: [
      rewrite(
        'components/canary/routes/kustomization.yaml',
        'order-service-canary',
        'order-canary',
      ),
    ],
    says: /the patch of VirtualService order-canary has no target/,
  },
  {
    mistake: 'a new component that no build knows',
    gate: 'G1',
    breaks: [
      put(
        'components/kiali/kustomization.yaml',
        'apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n',
      ),
    ],
    says: /no build has it/,
  },
  {
    mistake: 'an overlay without one of the layers',
    gate: 'G1',
    breaks: [removeFile('overlays/production/observability/kustomization.yaml')],
    says: /observability is not there/,
  },
  {
    mistake: 'two layers bring the same object',
    gate: 'G1',
    breaks: [double(PAYMENT, 'payment-service')],
    says: /Deployment order-management\/payment-service is there twice/,
  },
]

export const kustomizeToolCopies: readonly ToolBrokenCopy[] = [
  {
    mistake: 'a route is put before the one that a patch counts to',
    gate: 'G1',
    breaks: [
      rewrite(
        'istio-config/virtualservice-canary.yaml',
        '  http:\n',
        '  http:\n    - name: new\n      route: []\n',
      ),
    ],
    builds: ['istio-config with canary/routes'],
    says: /testing value \/spec\/http\/1\/name failed/,
  },
  {
    mistake: 'a component removes what is no longer there',
    gate: 'G1',
    breaks: [
      rewrite(
        'istio-config/ingress-orders.yaml',
        '      jwksUri: https://issuer.example.com/.well-known/jwks.json\n',
        '',
      ),
    ],
    builds: ['overlays/lab/istio-config'],
    says: /Unable to remove nonexistent key: jwksUri/,
  },
  {
    mistake: 'an overlay names a component that moved',
    gate: 'G1',
    breaks: [
      rewrite('overlays/kind/apps/kustomization.yaml', 'components/one-node', 'components/small'),
    ],
    builds: ['overlays/kind/apps'],
    says: /components\/small/,
  },
  {
    mistake: 'two components that bring the same Deployment',
    gate: 'G1',
    breaks: [
      rewrite(
        'components/demo-catalogue/kustomization.yaml',
        'resources:\n',
        'resources:\n  - ../../apps/order-service-canary\n',
      ),
    ],
    builds: ['apps with canary/workload and demo-catalogue'],
    says: /already registered id: Deployment/,
  },
  {
    mistake: 'a kustomization has a field that kustomize does not know',
    gate: 'G1',
    breaks: [rewrite('overlays/lab/apps/kustomization.yaml', 'components:', 'component:')],
    builds: ['overlays/lab/apps'],
    says: /unknown field "component"/,
  },
]
