/** G12. */
import { type BrokenCopy, rewrite, set, unset } from './edits.ts'
import { APPLICATION } from './names.ts'

export const argoCopies: readonly BrokenCopy[] = [
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
  {
    mistake: 'an Application that does not heal itself',
    gate: 'G12',
    breaks: [unset('Application argocd/order-management', '/spec/syncPolicy/automated/selfHeal')],
    says: /Application argocd\/order-management: spec\.syncPolicy\.automated\.selfHeal is missing/,
  },
]
