/** What the proxies log: what went wrong, and nothing else. */
import { randomUUID } from 'node:crypto'
import { accessOf } from './cluster/measure.ts'
import { originOf } from './cluster/names.ts'
import { linesOf, paymentCaller, readOf } from './cluster/payment.ts'
import { traceHead } from './cluster/ingress.ts'
import { proof } from './proof.ts'

proof(
  'log.filter',
  {
    promise:
      'The access log has errors, and callers that hung up, in JSON; it has no successful request.',
    manifests: ['istio-config/observability-telemetry.yaml', 'istio-control-plane/istio.yaml'],
    fields: [
      'Telemetry istio-system/mesh-telemetry spec.accessLogging[0]',
      'Istio default spec.values.meshConfig.accessLogEncoding',
    ],
  },
  async (mesh, saw) => {
    const caller = await paymentCaller(mesh)
    const [fine, hung, missing] = [randomUUID(), readOf({ fault: 'delay=1000;status=200' }), readOf()]
    const head = traceHead(false)
    const answers = await caller.calls([
      { url: `${originOf('payment-service')}/health?proof=${fine}`, headers: head.headers },
      { ...hung, abortAfterMs: 300 },
      missing,
    ])
    saw('ledger', 'answers', answers.map(({ status }) => status), [200, 0, 404])
    const of = async (part: string) =>
      (await accessOf(mesh, caller.pod, part)).map((line) => [line.response_code, line.response_flags])
    // It is asked last: by then the log has what came after it.
    saw('envoy', 'caller: code and flags of a 404', await of(missing.orderId), [[404, '-']])
    saw('envoy', 'caller: code and flags of a caller that hung up', await of(hung.orderId), [[0, 'DC']])
    const lines = await mesh.accessLog(caller.pod, ({ path }) => path?.includes(fine) ?? false)
    saw('envoy', 'caller: lines of a success', lines.length, 0)
    saw('ledger', 'payment-service: the success', (await mesh.lines('payment-service', (line) => line.trace_id === head.traceId)).map(({ status }) => status), [200])
    saw('ledger', 'payment-service: the missing one', (await linesOf(mesh, missing, 1)).map(({ status }) => status), [404])
  },
)
