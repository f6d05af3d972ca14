/** A pod that fails is left out for a while; never all of them. */
import { until } from './cluster/api.ts'
import { countBy } from './cluster/measure.ts'
import type { Mesh } from './cluster/mesh.ts'
import {
  chargeOf,
  linesOf,
  PAYMENT,
  type PaymentCaller,
  paymentCaller,
  readOf,
} from './cluster/payment.ts'
import { scaleTo } from './cluster/scale.ts'
import { between, proof } from './proof.ts'

const RULES = 'istio-config/destinationrule-circuit-breaker.yaml'
const DETECTION =
  'DestinationRule payment-service-circuit-breaker spec.trafficPolicy.outlierDetection'
const ENFORCED = 'outlier_detection.ejections_enforced_consecutive_5xx'

/** Envoy's first look at a host is due an interval after it knows it; before, more errors than five may pass. */
const KNOWN_FOR_MS = 12_000

async function settled(mesh: Mesh): Promise<PaymentCaller> {
  const caller = await paymentCaller(mesh, { fresh: true })
  const pods = [caller.pod, ...(await mesh.pods('payment-service'))]
  const youngest = Math.max(...pods.map(({ status }) => Date.parse(status.startTime)))
  await until('the caller knows its hosts', KNOWN_FOR_MS + 5000, () =>
    Date.now() - youngest > KNOWN_FOR_MS ? true : undefined,
  )
  return caller
}

/** Calls, one after the other, until one of two pods is left out. */
async function eject(caller: PaymentCaller, sick: string): Promise<readonly string[]> {
  const charges = Array.from({ length: 40 }, () => chargeOf({ fault: `status=503;pod=${sick}` }))
  const answers = await caller.calls(charges)
  return charges.map(({ orderId }, n) => `${answers[n]?.status} ${orderId}`)
}

async function sickOf(mesh: Mesh): Promise<string> {
  return (await mesh.onePod('payment-service')).pod.metadata.name
}

proof(
  'outlier.ejects',
  {
    promise:
      'After five 5xx in a row a pod gets nothing from this caller, whose calls all succeed.',
    manifests: [RULES],
    fields: [`${DETECTION}.consecutive5xxErrors`, `${DETECTION}.maxEjectionPercent`],
    timeoutMs: 90_000,
  },
  async (mesh, saw) => {
    const sick = await sickOf(mesh)
    const caller = await settled(mesh)
    const { value: told, added } = await caller.during(() => eject(caller, sick))
    const ids = new Set(told.map((each) => each.split(' ')[1]))
    const lines = await mesh.lines(
      'payment-service',
      ({ order_id: id, pod }) => pod === sick && ids.has(id ?? ''),
    )
    saw('ledger', 'requests that reached the sick pod', lines.length, 5)
    saw(
      'ledger',
      'the caller’s answers',
      countBy(told, (each) => each.split(' ')[0] as string),
      { 201: 40 },
    )
    saw('envoy', `caller: ${ENFORCED}`, added(ENFORCED), 1)
    saw('envoy', 'caller: upstream_rq_retry', added('upstream_rq_retry'), 5)
  },
)

/** Later than it may return. */
const GIVEN_UP_MS = 45_000

proof(
  'outlier.returns',
  {
    promise: 'A pod that was left out is tried again after 30 s, and up to 10 s more.',
    manifests: [RULES],
    fields: [`${DETECTION}.baseEjectionTime`, `${DETECTION}.interval`],
    timeoutMs: 120_000,
    beside: true,
  },
  async (mesh, saw) => {
    const sick = await sickOf(mesh)
    const caller = await settled(mesh)
    await eject(caller, sick)
    const envoy = await caller.envoy()
    const ejectedAt = performance.now()
    const active = async (): Promise<number> =>
      (await envoy.stats()).of(`cluster.${PAYMENT};.outlier_detection.ejections_active`)
    saw('envoy', 'caller: ejections_active', await active(), 1)
    // One that is not back by then is told by the seconds.
    await until('the pod is back', GIVEN_UP_MS, async () =>
      (await active()) === 0 ? true : undefined,
    ).catch(() => undefined)
    const seconds = (performance.now() - ejectedAt) / 1000
    saw('envoy', 'caller: seconds until ejections_active is 0', seconds, between(28, 42))
    const back = readOf()
    await caller.calls([{ ...back, repeat: 20 }])
    const pods = countBy(await linesOf(mesh, back, 20), ({ pod }) => pod)
    saw('ledger', 'the pod is asked again', (pods[sick] ?? 0) > 0, true)
  },
)

proof(
  'outlier.cap',
  {
    promise: 'The only pod is never left out, however it fails.',
    manifests: [RULES],
    fields: [`${DETECTION}.maxEjectionPercent`],
    timeoutMs: 180_000,
  },
  async (mesh, saw) => {
    await scaleTo(mesh, 'payment-service', 1)
    const caller = await settled(mesh)
    const reads = Array.from({ length: 12 }, () => chargeOf({ fault: 'status=503', key: null }))
    const { value: answers, added } = await caller.during(() => caller.calls(reads))
    const ids = new Set(reads.map(({ orderId }) => orderId))
    const lines = await mesh.lines('payment-service', ({ order_id: id }) => ids.has(id ?? ''))
    saw(
      'ledger',
      'the caller’s answers',
      countBy(answers, ({ status }) => status),
      { 503: 12 },
    )
    saw('ledger', 'payment-service: requests', lines.length, 12)
    saw(
      'envoy',
      'caller: ejections_overflow',
      added('outlier_detection.ejections_overflow') > 0,
      true,
    )
    saw('envoy', `caller: ${ENFORCED}`, added(ENFORCED), 0)
  },
)
