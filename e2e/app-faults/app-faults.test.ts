/** The program of the component `app-faults`, before a server as the services have one. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { RequestLogLine } from '@oms/contracts/log'
import { Value } from 'typebox/value'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'

const FAULTS = new URL('../../k8s/components/app-faults/faults.mjs', import.meta.url).href
/** Says what it saw, answers 201. */
const APPLICATION = `
  import { createServer } from 'node:http'
  const server = createServer((request, response) => {
    console.log(JSON.stringify({ seen: request.url }))
    response.writeHead(201).end('done')
  })
  server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })))
`

let dir: string
let child: ChildProcess
let origin: string
let path: string
const lines: Record<string, unknown>[] = []
let onLine: () => void = () => undefined

function spawnApplication(): ChildProcess {
  const env = {
    APP_FAULTS_DEFAULT: join(dir, 'default'),
    POD_NAME: 'payment-service-7d9f-abcde',
    SERVICE_NAME: 'payment-service',
    APP_VERSION: 'stable',
  }
  const args = [`--import=${FAULTS}`, '--input-type=module', '--eval', APPLICATION]
  return spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] })
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'oms-app-faults-'))
  writeFileSync(join(dir, 'default'), '')
  child = spawnApplication()
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
    lines.push(JSON.parse(line))
    onLine()
  })
  await until(() => lines.length === 1)
  origin = `http://127.0.0.1:${lines[0]?.['port']}`
})
beforeEach(() => {
  // A path for each test: the lines of the one before may still be on their way.
  path = `/api/v1/payments/${randomUUID()}`
  writeFileSync(join(dir, 'default'), '')
})
afterAll(async () => {
  child.kill()
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  rmSync(dir, { recursive: true })
})

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise<void>((resolve) => (onLine = resolve))
}

const ask = (
  fault: string | undefined,
  headers: Record<string, string> = {},
  signal: AbortSignal | null = null,
) =>
  fetch(`${origin}${path}?x=1`, {
    method: 'POST',
    signal,
    headers: { ...headers, ...(fault === undefined ? {} : { 'x-oms-fault': fault }) },
  })
const seen = (): number => lines.filter((line) => line['seen'] === `${path}?x=1`).length
const told = () => lines.filter((line) => line['path'] === path)

describe('a request without a fault', () => {
  test("is the application's", async () => {
    const answer = await ask(undefined)
    expect([answer.status, await answer.text()]).toEqual([201, 'done'])
    await until(() => seen() === 1)
    expect(told()).toEqual([])
  })

  test('meets the default, unless it is a probe', async () => {
    writeFileSync(join(dir, 'default'), 'status=503\n')
    expect((await ask(undefined)).status).toBe(503)
    expect((await fetch(`${origin}/ready`)).status).toBe(201)
    expect((await ask('status=500')).status).toBe(500)
  })
})

describe('status', () => {
  test('is answered here, with the line the application would have written', async () => {
    const answer = await ask('status=503', {
      'x-forwarded-client-cert':
        'By=spiffe://a;URI=spiffe://forged,By=spiffe://b;Hash=1;URI=spiffe://cluster.local/ns/order-management/sa/order-service',
      'x-envoy-attempt-count': '2',
      'x-order-id': 'o-1',
      'x-tenant-id': 'acme',
      'x-b3-sampled': '1',
    })
    expect(answer.status).toBe(503)
    await until(() => told().length === 1)
    const [line] = told()
    expect(Value.Check(RequestLogLine, line)).toBe(true)
    expect(line).toMatchObject({
      service: 'payment-service',
      pod: 'payment-service-7d9f-abcde',
      peer: 'spiffe://cluster.local/ns/order-management/sa/order-service',
      method: 'POST',
      path,
      status: 503,
      attempt: 2,
      order_id: 'o-1',
      tenant_id: 'acme',
      sampled: '1',
      aborted: false,
    })
    expect(seen()).toBe(0)
  })

  test('comes after the delay', async () => {
    const startedAt = performance.now()
    expect((await ask('delay=300;status=200')).status).toBe(200)
    // A millisecond for the two clocks.
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(299)
    expect(seen()).toBe(0)
  })
})

test('whoever hangs up during the delay is told of, and the application hears nothing', async () => {
  const asking = ask('delay=300', {}, AbortSignal.timeout(50))
  await expect(asking).rejects.toThrow('timeout')
  await until(() => told().length === 1)
  expect(told()[0]).toMatchObject({ status: 0, aborted: true })
  // A request that the application does see comes after it.
  await ask(undefined)
  await until(() => seen() === 1)
})

describe('late', () => {
  test('the application does its work at once, its answer comes later', async () => {
    const startedAt = performance.now()
    const asking = ask('late=300')
    await until(() => seen() === 1)
    expect(performance.now() - startedAt).toBeLessThan(299)
    const answer = await asking
    expect([answer.status, await answer.text()]).toEqual([201, 'done'])
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(299)
  })

  test('whoever does not wait for it has had the work done', async () => {
    await expect(ask('late=300', {}, AbortSignal.timeout(100))).rejects.toThrow('timeout')
    await until(() => seen() === 1)
  })
})

test.each([
  ['1-3', 3, 503],
  ['1-3', 4, 201],
  ['2', 1, 201],
  ['2', 2, 503],
])('attempts=%s hits try %i with %i', async (attempts, attempt, status) => {
  const answer = await ask(`status=503;attempts=${attempts}`, {
    'x-envoy-attempt-count': String(attempt),
  })
  expect(answer.status).toBe(status)
})

test('pod hits that pod alone', async () => {
  expect((await ask('status=503;pod=payment-service-7d9f-abcde')).status).toBe(503)
  expect((await ask('status=503;pod=payment-service-7d9f-other')).status).toBe(201)
})

test('service hits that service alone', async () => {
  expect((await ask('status=503;service=payment-service')).status).toBe(503)
  expect((await ask('status=503;service=order-service')).status).toBe(201)
})

test('share hits so many of a hundred', async () => {
  const statuses = []
  for (let i = 0; i < 200; i++) statuses.push((await ask('status=503;share=50')).status)
  const hit = statuses.filter((status) => status === 503).length
  // Of 200 fair coins, with 99.99 %.
  expect(hit).toBeGreaterThanOrEqual(72)
  expect(hit).toBeLessThanOrEqual(128)
})

test('of several lines the first that applies is obeyed', async () => {
  writeFileSync(
    join(dir, 'default'),
    'service=order-service;status=500\nattempts=1;status=503\nstatus=504\n',
  )
  expect((await ask(undefined)).status).toBe(503)
  expect((await ask(undefined, { 'x-envoy-attempt-count': '2' })).status).toBe(504)
})

describe('drop', () => {
  test('before: no answer, and the application saw nothing', async () => {
    await expect(ask('drop=before')).rejects.toThrow('fetch failed')
    await until(() => told().length === 1)
    expect(told()[0]).toMatchObject({ status: 0, aborted: true })
    expect(seen()).toBe(0)
  })

  test('after: no answer, and the application did its work', async () => {
    await expect(ask('drop=after')).rejects.toThrow('fetch failed')
    await until(() => seen() === 1)
  })
})

test('exit: the program is gone, and who waited for it has no answer', async () => {
  const other = spawnApplication()
  const [line] = await once(
    createInterface({ input: other.stdout as NodeJS.ReadableStream }),
    'line',
  )
  const url = `http://127.0.0.1:${JSON.parse(line).port}/`
  const faults = ['delay=20000', 'exit=137']
  const answers = await Promise.allSettled(
    faults.map((fault) => fetch(url, { headers: { 'x-oms-fault': fault } })),
  )
  const reasons = answers.map((each) => each.status === 'rejected' && each.reason.message)
  expect(reasons).toEqual(['fetch failed', 'fetch failed'])
  expect(other.exitCode ?? (await once(other, 'exit'))[0]).toBe(137)
})

test('trickle: the answer begins at once and takes its time', async () => {
  const startedAt = performance.now()
  const answer = await ask('trickle=400')
  expect(answer.status).toBe(200)
  expect((await answer.text()).length).toBeGreaterThanOrEqual(2)
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(399)
  expect(seen()).toBe(0)
})

test.each(['status=99', 'stauts=503', 'attempts=x', 'drop=between'])(
  '%s is refused with what there is',
  async (fault) => {
    const answer = await ask(fault)
    expect(answer.status).toBe(400)
    expect(await answer.text()).toMatch(
      /status, attempts, delay, late, trickle, drop, exit, pod, service, share/,
    )
    expect(seen()).toBe(0)
  },
)
