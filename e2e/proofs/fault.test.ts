/** Faults made by the mesh: they try callers, not the mesh's own retries and time limits. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '@oms/lab/folders'
import { parse } from 'yaml'
import { flagsOf } from './cluster/measure.ts'
import type { Mesh } from './cluster/mesh.ts'
import { PAYMENT_ROUTES } from './cluster/names.ts'
import { linesOf, paymentCaller, readOf } from './cluster/payment.ts'
import { between, proof } from './proof.ts'

const FILE = 'components/fault-injection/faults.yaml'

/** Until the proof ends. */
async function addFaults(mesh: Mesh): Promise<void> {
  const operations = parse(readFileSync(join(ROOT, 'k8s', FILE), 'utf8'))
  await mesh.istiod.pushed(() => mesh.changes.patch(PAYMENT_ROUTES, operations))
}

proof(
  'fault.abort',
  {
    promise: 'An aborted request is one 503, flagged FI, that no service saw and nothing retried.',
    manifests: [FILE],
    fields: ['VirtualService payment-service-retry spec.http[abort].fault.abort'],
  },
  async (mesh, saw) => {
    await addFaults(mesh)
    const caller = await paymentCaller(mesh)
    const read = readOf({ headers: { 'x-mesh-fault': 'abort' } })
    const { value: answer, added } = await caller.during(() => caller.call(read))
    saw('ledger', 'the caller’s answer', answer.status, 503)
    saw('envoy', 'caller: response_flags', await flagsOf(mesh, caller.pod, read.orderId), ['FI'])
    saw('envoy', 'caller: upstream_rq_retry', added('upstream_rq_retry'), 0)
    saw('envoy', 'caller: upstream_rq_total', added('upstream_rq_total'), 0)
    saw('ledger', 'payment-service: requests', (await linesOf(mesh, read, 0)).length, 0)
  },
)

proof(
  'fault.delay',
  {
    promise: 'A delayed request takes 3 s: the route’s limit of 1 s does not act.',
    manifests: [FILE],
    fields: ['VirtualService payment-service-retry spec.http[delay].fault.delay'],
  },
  async (mesh, saw) => {
    await addFaults(mesh)
    const caller = await paymentCaller(mesh)
    const read = readOf({ headers: { 'x-mesh-fault': 'delay' } })
    const { value: answer, added } = await caller.during(() => caller.call(read))
    saw('ledger', 'the caller’s answer, payment-service’s own', answer.status, 404)
    saw('ledger', 'the caller waited, milliseconds', answer.ms, between(3000, 3500))
    saw('envoy', 'caller: response_flags', await flagsOf(mesh, caller.pod, read.orderId), ['DI'])
    saw('envoy', 'caller: upstream_rq_timeout', added('upstream_rq_timeout'), 0)
    saw('ledger', 'payment-service: requests', (await linesOf(mesh, read, 1)).length, 1)
  },
)
