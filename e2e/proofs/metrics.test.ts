/** Metrics and statistics: what is there to be read, and from where. */
import type { Mesh } from './cluster/mesh.ts'
import { EXTERNAL, identityOf, NO_CHAIN } from './cluster/names.ts'
import { chargeOf, linesOf, paymentCaller } from './cluster/payment.ts'
import { proof } from './proof.ts'

const TEXT_LIMIT_BYTES = 8_000_000

/** As Prometheus reads them, from outside of the mesh. */
async function scrape(mesh: Mesh, ip: string) {
  const outside = await mesh.probe({ namespace: EXTERNAL, injected: false })
  return outside.call({
    url: `http://${ip}:15020/stats/prometheus`,
    textLimit: TEXT_LIMIT_BYTES,
    fresh: true,
  })
}

proof(
  'metrics.merged',
  {
    promise:
      'One page, in plain text, has the application’s metrics and its proxy’s; the application’s own port takes no plain text.',
    manifests: ['apps/payment-service.yaml', 'istio-control-plane/istio.yaml'],
    fields: ['Deployment payment-service spec.template.metadata.annotations[prometheus.io/*]'],
  },
  async (mesh, saw) => {
    const { ip, envoy } = await mesh.onePod('payment-service')
    const { status, text } = await scrape(mesh, ip)
    // Both are there before a first request.
    const has = (name: string): boolean => new RegExp(`^${name}`, 'm').test(text)
    saw('prometheus', 'the answer of 15020', status, 200)
    saw(
      'prometheus',
      'the application’s metrics, the proxy’s',
      [has('limiter_in_flight'), has('envoy_cluster_upstream_rq')],
      [true, true],
    )
    const outside = await mesh.probe({ namespace: EXTERNAL, injected: false })
    const { value: answer, added } = await envoy.during(() =>
      outside.call({ url: `http://${ip}:8080/metrics`, fresh: true }),
    )
    saw('ledger', 'plain text to 8080', answer.status, 0)
    saw('envoy', `payment-service: ${NO_CHAIN}`, added.of(NO_CHAIN), 1)
  },
)

/** Sum of the series of a metric that have these labels. */
function sumOf(text: string, name: string, labels: Readonly<Record<string, string>>): number {
  return text
    .split('\n')
    .filter(
      (line) =>
        line.startsWith(`${name}{`) &&
        Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`)),
    )
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

proof(
  'metrics.standard',
  {
    promise: 'Istio’s own metrics count every request, with who called and that it was mutual TLS.',
    manifests: ['istio-control-plane/istio.yaml'],
    fields: ['Istio default spec.values.meshConfig.defaultProviders (absent: Prometheus)'],
    needs: ['istioStats'],
  },
  async (mesh, saw) => {
    const count = async (): Promise<number> => {
      const pods = await mesh.pods('payment-service')
      const pages = await Promise.all(pods.map((pod) => scrape(mesh, pod['status'].podIP)))
      return pages.reduce(
        (sum, { text }) =>
          sum +
          sumOf(text, 'istio_requests_total', {
            reporter: 'destination',
            response_code: '201',
            connection_security_policy: 'mutual_tls',
            source_principal: identityOf('order-service'),
          }),
        0,
      )
    }
    const caller = await paymentCaller(mesh)
    const charges = Array.from({ length: 20 }, () => chargeOf())
    const before = await count()
    await caller.calls(charges)
    const lines = await Promise.all(charges.map((charge) => linesOf(mesh, charge, 1)))
    saw('ledger', 'payment-service: requests', lines.flat().length, charges.length)
    saw('prometheus', 'istio_requests_total of them', (await count()) - before, charges.length)
  },
)
