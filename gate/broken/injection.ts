/** G4: proxies and identities. */
import { type BrokenCopy, drop, set, unset } from './edits.ts'
import { NAMESPACE, PAYMENT } from './names.ts'

const INGRESS = 'Deployment istio-ingress/istio-ingressgateway'

export const injectionCopies: readonly BrokenCopy[] = [
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
    mistake: 'a service with a key to the API server',
    gate: 'G4',
    breaks: [unset(PAYMENT, '/spec/template/spec/automountServiceAccountToken')],
    says: /payment-service: automountServiceAccountToken is not false/,
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
    mistake: 'a pod with certificates of its own kind',
    gate: 'G4',
    breaks: [
      set(
        PAYMENT,
        '/spec/template/metadata/annotations/proxy.istio.io~1config',
        '{proxyMetadata: {OMS_SERVICE_TYPE: money, SECRET_TTL: 720h}}',
      ),
    ],
    says: /payment-service: proxy\.istio\.io\/config has SECRET_TTL/,
  },
  {
    mistake: 'a gateway of a fixed image',
    gate: 'G4',
    breaks: [
      set(INGRESS, '/spec/template/spec/containers/0/image', 'docker.io/istio/proxyv2:1.31.3'),
    ],
    says: /istio-ingressgateway: its image is not auto/,
  },
  {
    mistake: 'Prometheus as default',
    gate: 'G4',
    breaks: [unset('Deployment monitoring/prometheus', '/spec/template/spec/serviceAccountName')],
    says: /monitoring\/prometheus: serviceAccountName is missing, it runs as default/,
  },
]
