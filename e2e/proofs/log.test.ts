/** What the proxies log: what went wrong, and nothing else. */
import { accessOf } from './cluster/measure.ts'
import { linesOf, type PaymentCall, paymentCaller, readOf } from './cluster/payment.ts'
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
    const [fine, hung, missing] = [
      readOf({ fault: 'status=200' }),
      readOf({ fault: 'delay=1000;status=200' }),
      readOf(),
    ]
    const answers = await caller.calls([fine, { ...hung, abortAfterMs: 300 }, missing])
    saw(
      'ledger',
      'answers: a success, one that the caller did not await, one that is not there',
      answers.map(({ status }) => status),
      [200, 0, 404],
    )
    const logged = async ({ orderId }: PaymentCall) =>
      (await accessOf(mesh, caller.pod, orderId)).map((line) => [
        line.response_code,
        line.response_flags,
      ])
    saw('envoy', 'caller: code and flags of the 404', await logged(missing), [[404, '-']])
    saw('envoy', 'caller: code and flags of the one not awaited', await logged(hung), [[0, 'DC']])
    // By now the log has what came after it.
    const successes = await mesh.accessLog(
      caller.pod,
      ({ path }) => path?.includes(fine.orderId) ?? false,
    )
    saw('envoy', 'caller: lines of the success', successes.length, 0)
    for (const [call, status] of [
      [fine, 200],
      [missing, 404],
    ] as const)
      saw(
        'ledger',
        `payment-service: the ${status}`,
        (await linesOf(mesh, call, 1)).map((line) => line.status),
        [status],
      )
  },
)
