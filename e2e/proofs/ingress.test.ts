/** The way in: whose token is taken, what of a client's headers arrives, how long it is waited for. */
import { X509Certificate } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { TENANT } from '@oms/lab/order'
import { traceHead } from '@oms/lab/trace'
import { gatewayCalls, linesOfTenant, linesOfTrace, newTenant } from './cluster/ingress.ts'
import type { Mesh } from './cluster/mesh.ts'
import { clusterOf, GATEWAY_HTTP, INGRESS, statOf } from './cluster/names.ts'
import { warmingIn } from './cluster/warming.ts'
import { between, proof, type Saw } from './proof.ts'

const FILE = 'istio-config/ingress-orders.yaml'
const ROUTES = 'istio-config/virtualservice-canary.yaml'
const TOKENS = 'RequestAuthentication istio-ingress/orders-jwt spec'
const POLICY = 'AuthorizationPolicy istio-ingress/require-tenant-token spec'
const LIST = '/api/v1/orders'
const STOCK = '/api/v1/stock'

const OTHER_ISSUER = 'https://another.example.com'

const BESIDE = 'proof-of-another-issuer'
const AUTHENTICATIONS = `/apis/security.istio.io/v1/namespaces/${INGRESS}/requestauthentications`

/** Believed at the gateway beside ours, with the same keys; the run takes it away at its end. */
async function addIssuer(mesh: Mesh): Promise<void> {
  const ours = (await mesh.api.read(`${AUTHENTICATIONS}/orders-jwt`))?.['spec'].jwtRules[0]
  if (ours === undefined) return
  const { jwks, jwksUri } = ours
  const jwtRules = [{ issuer: OTHER_ISSUER, ...(jwks === undefined ? { jwksUri } : { jwks }) }]
  const beside = await mesh.api.read(`${AUTHENTICATIONS}/${BESIDE}`)
  if (isDeepStrictEqual(beside?.['spec'].jwtRules, jwtRules)) return
  await mesh.istiod.pushed(() =>
    mesh.changesOf('another issuer').create({
      apiVersion: 'security.istio.io/v1',
      kind: 'RequestAuthentication',
      metadata: { name: BESIDE, namespace: INGRESS },
      spec: { selector: { matchLabels: { istio: 'ingressgateway' } }, jwtRules },
    }),
  )
}

/** What the Secret has for the clients. */
async function secretFingerprint(mesh: Mesh): Promise<string | undefined> {
  const secret = await mesh.api.read(`/api/v1/namespaces/${INGRESS}/secrets/orders-example-com-tls`)
  const pem = Buffer.from(secret?.['data']['tls.crt'], 'base64')
  return new X509Certificate(pem).fingerprint256
}

/** The claims say something that nobody signed. */
function forged(token: string): string {
  const [head, claims, signature] = token.split('.') as [string, string, string]
  const said = JSON.parse(Buffer.from(claims, 'base64url').toString('utf8'))
  const other = Buffer.from(JSON.stringify({ ...said, tenant: 'globex' })).toString('base64url')
  return `${head}.${other}.${signature}`
}

proof(
  'ingress.jwt',
  {
    promise:
      'Nobody gets in without a token of our issuer, for our audience, with a tenant; and nobody at all to /internal.',
    manifests: [FILE, ROUTES, 'istio-control-plane/gateways/ingress.yaml'],
    fields: [
      'Gateway istio-ingress/orders-gateway spec',
      `${TOKENS}.selector`,
      `${TOKENS}.jwtRules[0]`,
      POLICY,
      'VirtualService order-service-canary spec.http[1].match',
    ],
    needs: ['token'],
  },
  async (mesh, saw) => {
    await addIssuer(mesh)
    const good = await mesh.token({ tenant: TENANT })
    const tokens = {
      good,
      forged: forged(good),
      'of no tenant': await mesh.token({}),
      'for another audience': await mesh.token({ tenant: TENANT, audience: 'another-api' }),
      expired: await mesh.token({ tenant: TENANT, expiresIn: '-1h' }),
      'of another issuer': await mesh.token({ tenant: TENANT, issuer: OTHER_ISSUER }),
    }
    const head = traceHead(false)
    const ask = (path: string, token?: string) =>
      mesh.gateway({
        path,
        fresh: true,
        headers: {
          ...head.headers,
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        },
      })
    const envoy = await mesh.gatewayEnvoy()
    const { value: statuses, added } = await envoy.during(async () => {
      const seen: Record<string, number> = { none: (await ask(LIST)).status }
      for (const [what, token] of Object.entries(tokens))
        seen[what] = (await ask(LIST, token)).status
      return seen
    })
    saw('ledger', 'answers by token', statuses, {
      none: 403,
      good: 200,
      forged: 401,
      'of no tenant': 403,
      'for another audience': 403,
      expired: 401,
      'of another issuer': 403,
    })
    const denied = ['jwt_authn.denied', 'rbac.denied'].map((stat) => added.of(GATEWAY_HTTP + stat))
    saw('envoy', 'gateway: jwt_authn.denied, rbac.denied', denied, [3, 3])

    const lines = await linesOfTrace(mesh, 'order-service', head, 1)
    saw(
      'ledger',
      'order-service: its requests, of all these',
      lines.map(({ path, status }) => [path, status]),
      [[LIST, 200]],
    )
    const inside = await ask('/internal/v1/orders/1/reservation-verdict', good)
    saw('ledger', 'the answer at /internal', inside.status, 404)
    const below = await ask(`${LIST}/${crypto.randomUUID()}`, good)
    const answered = [below.status, below.text.includes('oms.example/problems')]
    saw('ledger', 'the answer at an order that is not there, the service’s own', answered, [
      404,
      true,
    ])
    const beside = await ask('/api/v1/orders-and-more', good)
    saw('ledger', 'the answer at a path that only begins like ours', beside.status, 404)
    saw('envoy', 'gateway: listeners and clusters that wait', await warmingIn(envoy), 0)
    saw(
      'kubernetes',
      'the certificate that the gateway shows, and the Secret’s',
      (await ask(LIST)).certificate,
      await secretFingerprint(mesh),
    )
  },
)

proof(
  'ingress.strip',
  {
    promise: 'A client sets neither order id nor deadline, and none of the gateway’s own headers.',
    manifests: [ROUTES],
    fields: [
      'VirtualService order-service-canary spec.http[0].headers.request.remove',
      'VirtualService order-service-canary spec.http[1].headers.request.remove',
    ],
    needs: ['token'],
  },
  async (mesh, saw) => {
    const envoy = await mesh.gatewayEnvoy()
    for (const [path, service] of [
      [LIST, 'order-service'],
      [STOCK, 'inventory-service'],
    ] as const) {
      const head = traceHead(false)
      const own = {
        'x-order-id': crypto.randomUUID(),
        // Obeyed, it is refused with 429.
        'x-request-deadline-ms': '1',
        'x-envoy-attempt-count': '7',
        // Obeyed, it is cut with 504.
        'x-envoy-upstream-rq-timeout-ms': '1',
        'x-oms-fault': 'delay=100',
      }
      const { value: answer, added } = await envoy.during(() =>
        mesh.gateway({ path, tenant: TENANT, headers: { ...head.headers, ...own } }),
      )
      saw('ledger', `the answer at ${path}`, answer.status, 200)
      const lines = await linesOfTrace(mesh, service, head, 1)
      saw(
        'ledger',
        `${service}: order id, attempt, status`,
        lines.map(({ order_id: id, attempt, status }) => [id, attempt, status]),
        [[null, 1, 200]],
      )
      saw('envoy', 'gateway: upstream_rq_timeout', added.sum(/upstream_rq_timeout$/), 0)
    }
  },
)

proof(
  'ingress.tenant',
  {
    promise: 'The tenant is the token’s, whatever a client says; a browser’s preflight has none.',
    manifests: [FILE],
    fields: [`${TOKENS}.jwtRules[0].outputClaimToHeaders`, POLICY],
    needs: ['token'],
  },
  async (mesh, saw) => {
    const envoy = await mesh.gatewayEnvoy()
    const said = ['globex', ['globex', 'initech']] as const
    const heads = said.map(() => traceHead(false))
    const { value: answers, added } = await envoy.during(async () => {
      const seen = []
      for (const [n, tenant] of said.entries())
        seen.push(
          await mesh.gateway({
            path: LIST,
            tenant: TENANT,
            headers: { ...heads[n]?.headers, 'x-tenant-id': tenant },
          }),
        )
      seen.push(await mesh.gateway({ path: LIST, headers: { 'x-tenant-id': 'globex' } }))
      const preflight = {
        origin: 'https://shop.example.com',
        'access-control-request-method': 'GET',
      }
      seen.push(await mesh.gateway({ path: LIST, method: 'OPTIONS', headers: preflight }))
      return seen
    })
    saw(
      'ledger',
      'answers: another tenant’s header, two of them, one without a token, a preflight',
      answers.map(({ status }) => status),
      [200, 200, 403, 403],
    )
    for (const head of heads) {
      const lines = await linesOfTrace(mesh, 'order-service', head, 1)
      saw(
        'ledger',
        'order-service: tenant',
        lines.map((line) => line.tenant_id),
        [TENANT],
      )
    }
    saw('envoy', 'gateway: rbac.denied', added.of(`${GATEWAY_HTTP}rbac.denied`), 2)
    saw('envoy', 'gateway: rbac.allowed', added.of(`${GATEWAY_HTTP}rbac.allowed`), 2)
  },
)

interface Case {
  readonly what: string
  readonly path: typeof LIST | typeof STOCK
  readonly fault: string
  readonly status: number
  /** Requests that reach the service. */
  readonly tries: 1 | 2
  /** How long the client waits, at least. */
  readonly ms?: number
  /** Of an answer whose body was under way. */
  readonly cut?: boolean
}

/** Asks for all of them side by side. @param cluster the gateway's name for the service. */
async function seeCases(mesh: Mesh, saw: Saw, cluster: string, cases: readonly Case[]) {
  const envoy = await mesh.gatewayEnvoy()
  const asked = cases.map((each) => ({ ...each, tenant: newTenant() }))
  const { value: answers, added } = await envoy.during(() =>
    gatewayCalls(
      mesh,
      asked.map(({ path, tenant, fault }) => ({ path, tenant, headers: { 'x-oms-fault': fault } })),
      { workers: asked.length },
    ),
  )
  for (const [n, { what, path, status, tries, tenant, ms, cut = false }] of asked.entries()) {
    const answer = answers[n]
    const error = cut ? 'ECONNRESET' : null
    saw('ledger', `${what}: the answer`, [answer?.status, answer?.error ?? null], [status, error])
    if (ms !== undefined) saw('ledger', `${what}: milliseconds`, answer?.ms, between(ms, ms + 900))
    const service = path === LIST ? 'order-service' : 'inventory-service'
    const lines = await linesOfTenant(mesh, service, tenant, tries)
    saw(
      'ledger',
      `${what}: ${service}’s tries`,
      lines.map(({ attempt }) => attempt).toSorted((a, b) => (a ?? 0) - (b ?? 0)),
      tries === 1 ? [1] : [1, 2],
    )
  }
  return ['upstream_rq_retry', 'upstream_rq_per_try_timeout', 'upstream_rq_timeout'].map((stat) =>
    added.of(statOf(cluster, stat)),
  )
}

const ORDERS_CLUSTER = clusterOf('order-service', 8080, undefined, 'stable')

proof(
  'ingress.patience',
  {
    promise: 'An order is waited for 12 s.',
    manifests: [ROUTES],
    fields: ['VirtualService order-service-canary spec.http[1].timeout'],
    needs: ['token'],
  },
  async (mesh, saw) => {
    const seen = await seeCases(mesh, saw, ORDERS_CLUSTER, [
      {
        what: 'an order, slow',
        path: LIST,
        fault: 'delay=13000;status=200',
        tries: 1,
        status: 504,
        ms: 12_000,
      },
    ])
    saw('envoy', 'gateway → order: retries, tries cut, requests cut', seen, [0, 0, 1])
  },
)

proof(
  'ingress.once',
  {
    promise: 'An order that fails is sent once: who placed it tries again, with its key.',
    manifests: [ROUTES],
    fields: ['VirtualService order-service-canary spec.http[1].retries'],
    needs: ['token'],
  },
  async (mesh, saw) => {
    const seen = await seeCases(mesh, saw, ORDERS_CLUSTER, [
      { what: 'an order, 503', path: LIST, fault: 'status=503', tries: 1, status: 503 },
      { what: 'an order, cut', path: LIST, fault: 'drop=before', tries: 1, status: 503 },
    ])
    saw('envoy', 'gateway → order: retries, tries cut, requests cut', seen, [0, 0, 0])
  },
)

proof(
  'ingress.stock',
  {
    promise: 'Stock is asked for twice, 0.9 s each, 2 s in all.',
    manifests: [ROUTES],
    fields: [
      'VirtualService order-service-canary spec.http[0].timeout',
      'VirtualService order-service-canary spec.http[0].retries',
    ],
    needs: ['token'],
  },
  async (mesh, saw) => {
    const common = { path: STOCK, tries: 2, status: 200 } as const
    const seen = await seeCases(mesh, saw, clusterOf('inventory-service'), [
      { ...common, what: 'slow', fault: 'delay=1500;status=200', status: 504, ms: 1800 },
      { ...common, what: 'slow once', fault: 'delay=1500;status=200;attempts=1' },
      { ...common, what: '503 once', fault: 'status=503;attempts=1' },
      { ...common, what: 'cut once', fault: 'drop=before;attempts=1' },
      { ...common, what: 'trickling', fault: 'trickle=6000', tries: 1, ms: 3000, cut: true },
    ])
    saw('envoy', 'gateway → inventory: retries, tries cut, requests cut', seen, [4, 3, 1])
  },
)
