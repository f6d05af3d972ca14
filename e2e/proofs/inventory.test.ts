/** Retries and time limits of inventory-service: all that it does may be done twice, and is soon over. */
import { INVENTORY, stockLines, stockOf } from './cluster/inventory.ts'
import type { Mesh } from './cluster/mesh.ts'
import { OM, statOf } from './cluster/names.ts'
import { between, proof } from './proof.ts'

const FILE = 'istio-config/virtualservice-retry-timeout.yaml'
const ROUTE = 'VirtualService inventory-service-retry spec.http[0]'

/** One call, what it added to the caller's counters, and the tries that inventory-service saw. */
async function ask(mesh: Mesh, fault: string, tries: number) {
  const caller = await mesh.probe({ namespace: OM, account: 'order-service' })
  const envoy = await caller.envoy()
  const stock = stockOf(fault)
  const { value: answer, added } = await envoy.during(() => caller.call(stock))
  const lines = await stockLines(mesh, stock, tries)
  const attempts = lines.map(({ attempt }) => attempt).sort()
  return { answer, attempts, added: (stat: string) => added.of(statOf(INVENTORY, stat)) }
}

proof(
  'retry.inventory',
  {
    promise: 'One 503 of inventory-service does not reach the caller, a second one does.',
    manifests: [FILE],
    fields: [`${ROUTE}.retries.attempts`, `${ROUTE}.retries.retryOn`],
  },
  async (mesh, saw) => {
    const once = await ask(mesh, 'status=503;attempts=1', 2)
    saw('ledger', 'inventory-service: tries where the first fails', once.attempts, [1, 2])
    saw('ledger', 'the caller’s answer then', once.answer.status, 200)
    saw('envoy', 'caller: upstream_rq_retry_success', once.added('upstream_rq_retry_success'), 1)
    const twice = await ask(mesh, 'status=503', 2)
    saw('ledger', 'inventory-service: tries where all fail', twice.attempts, [1, 2])
    saw('ledger', 'the caller’s answer to that', twice.answer.status, 503)
    saw('envoy', 'caller: retry_limit_exceeded', twice.added('upstream_rq_retry_limit_exceeded'), 1)
  },
)

proof(
  'timeout.inventory',
  {
    promise: 'A try of inventory-service ends after 0.9 s, and all of it after 2 s.',
    manifests: [FILE],
    fields: [`${ROUTE}.retries.perTryTimeout`, `${ROUTE}.timeout`],
  },
  async (mesh, saw) => {
    const slow = await ask(mesh, 'delay=1500', 2)
    saw('ledger', 'inventory-service: tries', slow.attempts, [1, 2])
    saw('ledger', 'milliseconds to the answer', slow.answer.ms, between(1800, 2100))
    saw(
      'envoy',
      'caller: upstream_rq_per_try_timeout',
      slow.added('upstream_rq_per_try_timeout'),
      2,
    )
    const endless = await ask(mesh, 'trickle=5000', 1)
    // Envoy closes the connection a second later.
    saw(
      'ledger',
      'milliseconds to the end of an answer that goes on',
      endless.answer.ms,
      between(2000, 3500),
    )
    saw('envoy', 'caller: upstream_rq_timeout', endless.added('upstream_rq_timeout'), 1)
  },
)
