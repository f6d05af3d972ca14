/** Payment-service on one page: server, database, processor, use cases, routes, loops. */
import { createHttpClient } from '@oms/chassis/http-client'
import { every } from '@oms/chassis/lifecycle'
import { createPostgres } from '@oms/chassis/postgres'
import { createServer, type Server, type ServerOptions } from '@oms/chassis/server'
import { createPatience } from '@oms/chassis/verdict'
import {
  CORRELATION_HEADERS,
  DEADLINE_HEADER,
  FORWARDED_HEADERS,
  TENANT_HEADER,
  TENANT_PATTERN,
} from '@oms/contracts/headers'
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
    ...overrides,
    serviceName: 'payment-service',
    limit: config.CONCURRENCY_LIMIT,
    ownDeadlineMs: ANSWER_WITHIN_MS,
    tenantHeader: TENANT_HEADER,
    tenantPattern: TENANT_PATTERN,
    deadlineHeader: DEADLINE_HEADER,
    forwardedHeaders: FORWARDED_HEADERS,
    correlationHeaders: CORRELATION_HEADERS,
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
    log: alerts(server),
  }
  const chargePayment = createChargePayment(dependencies)
  const refundPayment = createRefundPayment(dependencies)

  paymentRoutes(server, { chargePayment, refundPayment, payments })

  const passes = server.chassis.metrics.counter(
    'sweeper_passes_total',
    'Recovery passes by outcome.',
    ['outcome'],
  )
  async function resume(): Promise<void> {
    const { limiter } = server.chassis
    const permits = limiter.acquireLowPriority(16)
    if (permits === 0) return
    try {
      const resumed =
        (await resumeCharges(permits, dependencies)) + (await resumeRefunds(permits, dependencies))
      passes.inc({ outcome: resumed > 0 ? 'resumed' : 'idle' })
    } catch (error) {
      passes.inc({ outcome: 'failed' })
      throw error
    } finally {
      for (let i = 0; i < permits; i++) limiter.releaseLowPriority()
    }
  }
  every(
    server,
    { name: 'resume charges', ms: config.RESUME_INTERVAL_MS, deadlineMs: PASS_DEADLINE_MS },
    resume,
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

function alerts(server: Server): {
  readonly alert: (fields: object, message: string) => void
  readonly info: (fields: object, message: string) => void
} {
  return {
    alert: (fields, message) => server.log.error(fields, message),
    info: (fields, message) => server.log.info(fields, message),
  }
}
