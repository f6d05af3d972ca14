/** The lab as it runs: `pnpm verify:lab`. Whatever this finds is found on a real Kubernetes and a real Istio. */
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { eachAtMost } from '@oms/e2e/testing'
import { beforeAll, describe, expect, test } from 'vitest'
import { exec, run as output } from '../src/command.ts'
import { COMPONENTS, LAYERS } from '../src/components.ts'
import { ROOT } from '../src/folders.ts'
import { askGateway, type GatewayAnswer } from '../src/gateway.ts'
import { createKubectl, KUBECONFIG, parseObjects } from '../src/kubectl.ts'
import { requireLab, STATE_DIR, urlOf } from '../src/lab.ts'
import { isSail } from '../src/mesh.ts'
import { ORDER, placeTracedOrder, TENANT, TRACED_SERVICES, type TracedOrder } from '../src/order.ts'
import { signToken } from '../src/token.ts'
import { requireTools } from '../src/tools.ts'
import { orphans } from '../src/trace.ts'
import { lab as run, succeed } from './cli.ts'

const MANY = 1000
const WIDTH = 8
const SERVICES = ['order-service', 'payment-service', 'inventory-service'] as const

const lab = requireLab()
const kubectl = createKubectl(requireTools().program('kubernetes', 'kubectl'))

async function place(headers: Readonly<Record<string, string>>): Promise<GatewayAnswer> {
  return askGateway(lab, {
    method: 'POST',
    path: '/api/v1/orders',
    headers: { 'idempotency-key': randomUUID(), ...headers },
    body: ORDER,
  })
}

const bearer = async (options: Parameters<typeof signToken>[1] = { tenant: TENANT }) => ({
  authorization: `Bearer ${await signToken(STATE_DIR, options)}`,
})

describe('an order through the gateway', () => {
  let order: TracedOrder
  beforeAll(async () => {
    order = await placeTracedOrder(lab)
  }, 60_000)

  test('is confirmed', () => {
    expect(order.body).toMatchObject({ state: 'confirmed', currency: 'EUR' })
    expect(order.status).toBe(201)
  })

  test('leaves one trace: four proxies, three applications, no span without its parent', () => {
    expect(new Set(order.spans.map(({ service }) => service))).toEqual(new Set(TRACED_SERVICES))
    const lost = orphans(order.spans).filter(({ parentId }) => parentId !== order.callerSpanId)
    expect(lost).toEqual([])
  })

  test('is found by its number and its tenant in the spans of proxies and applications', () => {
    const orderId = order.body['order_id']
    const tagged = (tag: string, value: unknown): readonly string[] => [
      ...new Set(
        order.spans.filter(({ tags }) => tags[tag] === value).map(({ service }) => service),
      ),
    ]
    // The order has no number before order-service has given it one.
    const numbered = TRACED_SERVICES.filter(
      (name) => !name.startsWith('istio-ingressgateway') && !name.startsWith('order-service.'),
    )
    expect(tagged('order_id', orderId)).toEqual(expect.arrayContaining(numbered))
    const applications = TRACED_SERVICES.filter((name) => !name.includes('.'))
    const proxies = TRACED_SERVICES.filter((name) => name.includes('.'))
    expect(tagged('tenant_id', TENANT)).toEqual(expect.arrayContaining(applications))
    expect(tagged('tenant', TENANT)).toEqual(expect.arrayContaining(proxies))
  })

  test('counts in Prometheus under the names of Istio, with who called whom', async () => {
    const query = `sum by (source_principal, response_code) (istio_requests_total{reporter="destination", destination_service_name="payment-service"})`
    await expect
      .poll(
        async () => {
          const url = `${urlOf(lab, 'prometheus')}/api/v1/query?query=${encodeURIComponent(query)}`
          const { data } = (await (await fetch(url)).json()) as {
            data: { result: readonly { metric: Record<string, string> }[] }
          }
          return data.result.map(({ metric }) => metric)
        },
        { timeout: 60_000, interval: 1000 },
      )
      .toContainEqual({
        source_principal: expect.stringContaining('/ns/order-management/sa/order-service'),
        response_code: '201',
      })
  })
})

describe('who is let in', () => {
  test('without a token: 403', async () => {
    expect((await place({})).status).toBe(403)
  })

  test('with a token that nobody signed: 401', async () => {
    const { authorization } = await bearer()
    const forged = `${authorization.slice(0, authorization.lastIndexOf('.'))}.${'A'.repeat(86)}`
    expect((await place({ authorization: forged })).status).toBe(401)
  })

  test('with a token of another audience: 403, of no tenant: 403', async () => {
    const other = await place(await bearer({ tenant: TENANT, audience: 'another-api' }))
    expect([401, 403]).toContain(other.status)
    expect((await place(await bearer({}))).status).toBe(403)
  })

  test("a tenant in a header is not believed: the order is the token's", async () => {
    const answer = await place({ ...(await bearer()), 'x-tenant-id': 'globex' })
    expect(answer.status).toBe(201)
    const { order_id: id } = JSON.parse(answer.text)
    const mine = await askGateway(lab, { path: `/api/v1/orders/${id}`, headers: await bearer() })
    const theirs = await askGateway(lab, {
      path: `/api/v1/orders/${id}`,
      headers: await bearer({ tenant: 'globex' }),
    })
    expect([mine.status, theirs.status]).toEqual([200, 404])
  })

  test.each(SERVICES)('plain text to a pod of %s is refused', async (service) => {
    const [pod] = await kubectl.list('pods', '-n', 'order-management', '-l', `app=${service}`)
    const url = `http://${pod?.['status'].podIP}:8080/health`
    const { code, stderr } = await run('exec', '--', 'curl', '-sS', '--max-time', '5', url)
    expect(`${code} ${stderr}`).toMatch(/^(52|56) .*(reset|Empty reply)/s)
  })
})

describe('the configuration', () => {
  test('is refused by no proxy', async () => {
    const pods = (await kubectl.list('pods', '-A', '--field-selector=status.phase=Running')).filter(
      ({ spec }) =>
        [...(spec.initContainers ?? []), ...spec.containers].some(
          ({ name }) => name === 'istio-proxy',
        ),
    )
    expect(pods.length).toBeGreaterThanOrEqual(9)
    const refused = await Promise.all(
      pods.map(async ({ metadata: { name, namespace } }) => {
        const stats = await kubectl(
          ...['exec', '-n', namespace as string, name, '-c', 'istio-proxy', '--'],
          ...['pilot-agent', 'request', 'GET', 'stats?filter=update_rejected'],
        )
        const counters = [...stats.matchAll(/^(\S+update_rejected): (\d+)$/gm)]
        expect(counters.length).toBeGreaterThanOrEqual(2)
        return counters.filter(([, , count]) => count !== '0').map(([line]) => `${name}: ${line}`)
      }),
    )
    expect(refused.flat()).toEqual([])
  })

  test('has nothing that istioctl analyze would say', async () => {
    const istioctl = requireTools().program('istio', 'istioctl')
    const { stdout } = await exec(istioctl, [
      ...['analyze', '--all-namespaces', '--output', 'json', '--kubeconfig', KUBECONFIG],
      // Nobody's: every cluster has it, and it is empty.
      ...['--suppress', 'IST0102=Namespace default'],
    ])
    expect(JSON.parse(stdout)).toEqual([])
  })
})

describe('every pod of the product', () => {
  test('has a native sidecar, and its redirection is made outside of it', async () => {
    const pods = await kubectl.list('pods', '-n', 'order-management')
    expect(pods.length).toBeGreaterThan(5)
    for (const pod of pods) {
      const inits = pod['spec'].initContainers as readonly Record<string, unknown>[]
      expect(inits.map(({ name }) => name)).toEqual(['istio-validation', 'istio-proxy'])
      expect(inits[1]?.['restartPolicy']).toBe('Always')
    }
  })

  test('of a Job has ended, its sidecar, too', async () => {
    const jobs = await kubectl.list('jobs', '-n', 'order-management')
    expect(jobs.length).toBeGreaterThanOrEqual(5)
    for (const { status } of jobs) expect(status).toMatchObject({ succeeded: 1 })
  })

  test('lives in a namespace that admits nothing less restricted', async () => {
    const manifest = JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'intruder', namespace: 'order-management' },
      spec: { containers: [{ name: 'x', image: 'x', securityContext: { privileged: true } }] },
    })
    await expect(kubectl.apply([JSON.parse(manifest)])).rejects.toThrow(/violates PodSecurity/)
  })
})

test('1,000 orders through the gateway: none fails, and the audit is green', async () => {
  const headers = await bearer()
  const statuses = new Map<number, number>()
  await eachAtMost(WIDTH, Array.from({ length: MANY }), async () => {
    const { status } = await place(headers)
    statuses.set(status, (statuses.get(status) ?? 0) + 1)
  })
  // 202 is accepted, too: its participants were slow, and the audit sees that it ends.
  const { 201: confirmed = 0, 202: accepted = 0, ...others } = Object.fromEntries(statuses)
  expect(others).toEqual({})
  expect(confirmed + accepted).toBe(MANY)
  const audit = await run('audit', '--settle-timeout', '60')
  expect(audit.stdout).toContain('I1')
  expect(`${audit.code} ${audit.stderr}`).toBe('0 ')
}, 300_000)

test.each(LAYERS)(
  "kind's overlay of %s is accepted by the API server and istiod's webhooks, on trial",
  async (layer) => {
    const kustomize = requireTools().program('gate', 'kustomize')
    const folder = join(ROOT, 'k8s/overlays/kind', layer)
    const objects = parseObjects(await output(kustomize, ['build', folder]))
      // Sail's own have no definition here.
      .filter((object) => !isSail(object))
      // A Job of that name has run here, and cannot be changed.
      .map((object) =>
        object.kind === 'Job'
          ? { ...object, metadata: { ...object.metadata, name: 'trial' } }
          : object,
      )
    await kubectl.apply(objects, '--dry-run=server')
  },
)

describe('components go on while orders flow, and come off again', () => {
  let before: readonly string[]
  let last: readonly string[]
  beforeAll(async () => {
    before = await inventoryOf()
    last = before
  })

  // Each takes the one before it off.
  test.each([...Object.keys(COMPONENTS), ''])(
    '%s',
    async (name) => {
      await succeed('apply', ...(name === '' ? [] : [name]))
      const now = await inventoryOf()
      expect(now).not.toEqual(last)
      last = now
      expect((await place(await bearer())).status).toBe(201)
    },
    180_000,
  )

  test('nothing of them stays', () => {
    expect(last).toEqual(before)
  })
})

/** What components touch, without what the cluster writes into it. */
async function inventoryOf(): Promise<readonly string[]> {
  const kinds = 'deployments,daemonsets,configmaps,virtualservices'
  const objects = await kubectl.list(kinds, '-A')
  return objects
    .map(({ kind, metadata, spec, data }) => {
      const { metadata: _, ...template } = spec?.template ?? {}
      return JSON.stringify([kind, metadata.namespace, metadata.name, template, spec?.http, data])
    })
    .sort()
}

test('a wrong name is answered with the names there are', async () => {
  const { code, stderr } = await run('logs', 'nothing-of-that-name')
  expect(code).toBe(1)
  expect(stderr).toMatch(/kube-apiserver[\s\S]*postgres-0/)
  expect((await run('deploy', 'shipping')).stderr).toMatch(/there are order-service, payment/)
  expect((await run('apply', 'kanary')).stderr).toMatch(/there are canary, app-faults/)
})

test('a second lab of this checkout is refused while this one is up', async () => {
  const { code, stderr } = await run('up')
  expect(`${code} ${stderr}`).toMatch(/^1 The lab is up already/)
})
