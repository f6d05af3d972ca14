/** The next release: whose orders it gets, and what becomes of them where it has no pod. */
import { addRoutes, CANARY, STABLE, withCanary, withoutCanary } from './cluster/canary.ts'
import { gatewayCalls, gatewayLog, linesOfTenant, newTenant } from './cluster/ingress.ts'
import { untilLines } from './cluster/ledger.ts'
import { binomialBounds, countBy } from './cluster/measure.ts'
import type { Mesh } from './cluster/mesh.ts'
import { statOf } from './cluster/names.ts'
import { between, proof } from './proof.ts'

const BASE = 'istio-config/virtualservice-canary.yaml'
const COMPONENT = 'components/canary/routes/routes.yaml'
const WEIGHTED = 'VirtualService order-service-canary spec.http[weighted]'
const BY_HEADER = 'VirtualService order-service-canary spec.http[by-header]'
const PATH = '/api/v1/orders'

/** Many reads of a tenant that nobody else has, and what the gateway counted of them. */
async function read(mesh: Mesh, calls: number, headers: Readonly<Record<string, string>> = {}) {
  const envoy = await mesh.gatewayEnvoy()
  const tenant = newTenant()
  const { value: answers, added } = await envoy.during(() =>
    gatewayCalls(mesh, [{ path: PATH, tenant, headers, repeat: calls }], { workers: 8 }),
  )
  const statuses = countBy(answers, ({ status }) => status)
  const lines = await linesOfTenant(mesh, 'order-service', tenant, statuses['200'] ?? 0)
  const versions = { stable: 0, canary: 0, ...countBy(lines, ({ version }) => version) }
  const total = (cluster: string): number => added.of(statOf(cluster, 'upstream_rq_total'))
  return { statuses, versions, sent: { stable: total(STABLE), canary: total(CANARY) }, added }
}

proof(
  'canary.empty',
  {
    promise:
      'Without a canary nobody is sent to it: no error. With its routes but no pod, its share is 503 (UH).',
    manifests: [BASE, COMPONENT],
    fields: [`${WEIGHTED}.route[0].weight`, `${WEIGHTED}.route[1].weight`],
    needs: ['token'],
  },
  async (mesh, saw) => {
    await withoutCanary(mesh)
    const before = await read(mesh, 200)
    saw('ledger', 'answers without the component', before.statuses, { 200: 200 })
    saw('ledger', 'order-service: requests by version', before.versions, { stable: 200, canary: 0 })
    saw('envoy', 'gateway: upstream_rq_total by subset', before.sent, { stable: 200, canary: 0 })

    await addRoutes(mesh)
    const path = `${PATH}/${crypto.randomUUID()}`
    const { value: answers, added } = await (await mesh.gatewayEnvoy()).during(() =>
      gatewayCalls(mesh, [
        { path, tenant: newTenant(), headers: { 'x-canary': 'true' }, repeat: 20 },
      ]),
    )
    saw(
      'ledger',
      'answers of no pod',
      countBy(answers, ({ status }) => status),
      { 503: 20 },
    )
    saw(
      'envoy',
      'gateway: upstream_cx_none_healthy of the subset',
      added.of(statOf(CANARY, 'upstream_cx_none_healthy')),
      20,
    )
    const lines = await untilLines(20, () => gatewayLog(mesh, (line) => line.path === path))
    const flags = countBy(lines, (line) => line.response_flags)
    saw('envoy', 'gateway: response_flags', flags, { UH: 20 })
  },
)

const MANY = 1000
const SHARE = 0.1

proof(
  'canary.weights',
  {
    promise: 'One order in ten goes to the canary.',
    manifests: [BASE, COMPONENT, 'istio-config/destinationrule-circuit-breaker.yaml'],
    fields: [`${WEIGHTED}.route`, 'DestinationRule order-service-subsets spec.subsets'],
    needs: ['token'],
    timeoutMs: 120_000,
  },
  async (mesh, saw) => {
    await withCanary(mesh)
    await addRoutes(mesh)
    const { statuses, versions, sent } = await read(mesh, MANY)
    const { least, most } = binomialBounds(MANY, SHARE)
    saw('ledger', 'answers', statuses, { 200: MANY })
    saw(
      'ledger',
      'order-service: requests of the canary',
      versions.canary,
      between(least, most, '99.99 %'),
    )
    saw('ledger', 'order-service: requests', versions.canary + versions.stable, MANY)
    saw('envoy', 'gateway: upstream_rq_total by subset', sent, versions)
  },
)

proof(
  'canary.header',
  {
    promise: 'Whoever says `x-canary: true` gets the canary, every time.',
    manifests: [BASE, COMPONENT],
    fields: [BY_HEADER],
    needs: ['token'],
    timeoutMs: 120_000,
  },
  async (mesh, saw) => {
    await withCanary(mesh)
    await addRoutes(mesh)
    const { statuses, versions, sent } = await read(mesh, 50, { 'x-canary': 'true' })
    saw('ledger', 'answers', statuses, { 200: 50 })
    saw('ledger', 'order-service: requests by version', versions, { stable: 0, canary: 50 })
    saw('envoy', 'gateway: upstream_rq_total by subset', sent, { stable: 0, canary: 50 })
  },
)
