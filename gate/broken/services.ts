/** G4: ports, pods, rows, migrations. */
import { type BrokenCopy, double, drop, set, unset } from './edits.ts'
import { DEFAULTS, ORDER, PAYMENT, PAYMENT_BREAKER } from './names.ts'

const PAYMENT_SERVICE = 'Service order-management/payment-service'
const PAYMENT_JOB = 'Job order-management/payment-service-migrate'

export const serviceCopies: readonly BrokenCopy[] = [
  {
    mistake: 'a port without a name',
    gate: 'G4',
    breaks: [unset(PAYMENT_SERVICE, '/spec/ports/0/name')],
    says: /payment-service: the port 8080 is named ""/,
  },
  {
    mistake: 'a port of HTTP by another name',
    gate: 'G4',
    breaks: [set(PAYMENT_SERVICE, '/spec/ports/0/name', 'web')],
    says: /the port 8080 is named "web"/,
  },
  {
    mistake: 'a Service whose selector nobody has',
    gate: 'G4',
    breaks: [set(PAYMENT_SERVICE, '/spec/selector/app', 'payments')],
    says: /spec\.selector \{"app":"payments"\} selects no pods/,
  },
  {
    mistake: 'a targetPort that no container has',
    gate: 'G4',
    breaks: [set(PAYMENT_SERVICE, '/spec/ports/0/targetPort', 'web')],
    says: /no container has the port web/,
  },
  {
    mistake: 'a service without limits',
    gate: 'G4',
    breaks: [drop(DEFAULTS), drop(PAYMENT_BREAKER)],
    says: /Service order-management\/payment-service: no DestinationRule/,
  },
  {
    mistake: 'a new service outside of the rules',
    gate: 'G4',
    breaks: [
      double(PAYMENT_SERVICE, 'refund-service', { selector: { app: 'refund-service' } }),
      double(PAYMENT, 'refund-service'),
    ],
    says: /Service order-management\/refund-service: no row of e2e\/authz-matrix\.ts/,
  },
  {
    mistake: 'a service without its migration',
    gate: 'G4',
    breaks: [drop(PAYMENT_JOB)],
    says: /Job order-management\/payment-service-migrate is not there/,
  },
  {
    mistake: 'a migration that runs as the service',
    gate: 'G4',
    breaks: [set(PAYMENT_JOB, '/spec/template/spec/serviceAccountName', 'payment-service')],
    says: /serviceAccountName is payment-service, not payment-service-migrate/,
  },
  {
    mistake: 'a service that can change its schema',
    gate: 'G4',
    breaks: [
      set(
        PAYMENT,
        '/spec/template/spec/volumes/0/secret/secretName',
        'payment-service-database-owner',
      ),
    ],
    says: /Deployment .*payment-service: it mounts the Secret payment-service-database-owner/,
  },
  {
    mistake: 'a service by an account that the database does not admit',
    gate: 'G4',
    breaks: [set(PAYMENT, '/spec/template/spec/serviceAccountName', 'postgres')],
    says: /payment-service: its account postgres has no row for postgres/,
  },
  {
    mistake: 'spans read as HTTP',
    gate: 'G4',
    breaks: [set('Service jaeger/jaeger-collector', '/spec/ports/0/name', 'http-zipkin')],
    says: /jaeger-collector: the port 9411 is named "http-zipkin"/,
  },
  {
    mistake: 'a service that is not scraped',
    gate: 'G4',
    breaks: [unset(PAYMENT, '/spec/template/metadata/annotations/prometheus.io~1scrape')],
    says: /prometheus\.io\/scrape is missing, not true/,
  },
  {
    mistake: 'a service whose spans all say "other"',
    gate: 'G4',
    breaks: [unset(ORDER, '/spec/template/metadata/annotations/proxy.istio.io~1config')],
    says: /proxy\.istio\.io\/config has no OMS_SERVICE_TYPE/,
  },
  {
    mistake: 'ready before the schema is there',
    gate: 'G4',
    breaks: [
      set(PAYMENT, '/spec/template/spec/containers/0/readinessProbe/httpGet/path', '/health'),
    ],
    says: /readinessProbe\.httpGet\.path is \/health, not \/ready/,
  },
  {
    mistake: 'a migration that starts the service',
    gate: 'G4',
    breaks: [set(PAYMENT_JOB, '/spec/template/spec/containers/0/args', ['main.mjs'])],
    says: /payment-service-migrate: its args do not say migrate/,
  },
]
