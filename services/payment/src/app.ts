/** Payment-service on one page: server, database, processor, use cases, routes, loops. */
import { createHttpClient } from '@oms/chassis/http-client'
import { every } from '@oms/chassis/lifecycle'
import { createPostgres } from '@oms/chassis/postgres'
import { createServer, type Server, type ServerOptions } from '@oms/chassis/server'
import { createPatience } from '@oms/chassis/verdict'
import { WIRE } from '@oms/contracts/headers'
import { migrations } from '../migrations/migrations.ts'
import { createPaymentGateway, createSimulatedGateway } from './adapters/payment-gateway.ts'
import { createPaymentRepository } from './adapters/payment-repository.ts'
import type { Config } from './config.ts'
import { createChargePayment, resumeCharges } from './domain/charge-payment.ts'
import type { Gateway, Payments } from './domain/ports.ts'
import { createRefundPayment, type RefundPayment, resumeRefunds } from './domain/refund-payment.ts'
import { paymentRoutes } from './routes/payments.ts'

/** 1.7 s: answers 202 before the mesh's try limit of 2 s cuts the connection. */
const ANSWER_WITHIN_MS = 1700
/** One pass of a loop: the processor's 1.2 s and two statements. */
const PASS_DEADLINE_MS = 3000
/** How many charges and refunds one pass takes. */
const RESUME_BATCH = 16

export interface PaymentApp {
  readonly server: Server
  readonly payments: Payments
  readonly refundPayment: RefundPayment
  /** One pass over what has no verdict yet; the loop of `run`. */
  resume(): Promise<void>
}

export function buildApp(
  config: Config,
  overrides: { readonly gateway?: Gateway } & Pick<
    ServerOptions,
    'beforeRoutes' | 'logStream'
  > = {},
): PaymentApp {
  const server = createServer({
    ...config,
    ...WIRE,
    ...overrides,
    serviceName: 'payment-service',
    limit: config.CONCURRENCY_LIMIT,
    ownDeadlineMs: ANSWER_WITHIN_MS,
  })
  server.chassis.boot.push(async () => refuseSimulatedProduction(config))

  const simulated = config.PSP_MODE === 'simulated'
  const processor = createHttpClient(server, {
    name: 'card-processor',
    origin: config.PSP_URL,
    forward: false,
  })
  const payments = createPaymentRepository(createPostgres(server, config, migrations), {
    deployment: config.DEPLOYMENT,
    simulated,
  })
  const gateway =
    overrides.gateway ?? (simulated ? createSimulatedGateway() : createPaymentGateway(processor))
  const dependencies = {
    payments,
    gateway,
    patience: createPatience({ workMs: PASS_DEADLINE_MS }),
    log: server.log,
  }
  const chargePayment = createChargePayment(dependencies)
  const refundPayment = createRefundPayment(dependencies)

  paymentRoutes(server, { chargePayment, refundPayment, payments })

  const { runOnce: resume } = every(
    server,
    {
      name: 'resume charges and refunds',
      ms: config.RESUME_INTERVAL_MS,
      deadlineMs: PASS_DEADLINE_MS,
      maxPermits: RESUME_BATCH,
    },
    async (permits) =>
      (await resumeCharges(permits, dependencies)) + (await resumeRefunds(permits, dependencies)),
  )

  server.chassis.metrics.gauge(
    'payments_processing',
    'Charges without a verdict.',
    async () => (await payments.gauges()).processing,
  )
  server.chassis.metrics.gauge(
    'refunds_stuck',
    'Refunds that the processor refused.',
    async () => (await payments.gauges()).stuck,
  )
  return { server, payments, refundPayment, resume }
}

/** Money that only a token's prefix decides is not money. */
function refuseSimulatedProduction({ DEPLOYMENT, PSP_MODE }: Config): void {
  if (DEPLOYMENT === 'production' && PSP_MODE === 'simulated')
    throw new Error(
      'PSP_MODE=simulated is refused where DEPLOYMENT=production; set PSP_MODE=http and PSP_URL.',
    )
}
