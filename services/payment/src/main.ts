/** Starts payment-service, or runs one of its operations: `migrate`, `retry-refund ORDER`. */
import { loadConfig } from '@oms/chassis/config'
import { run } from '@oms/chassis/lifecycle'
import { runCommand } from '@oms/chassis/operations'
import { migrate } from '@oms/chassis/postgres'
import { migrations } from '../migrations/migrations.ts'
import { buildApp } from './app.ts'
import { configSchema } from './config.ts'
import { retryRefund } from './operations.ts'

const config = loadConfig(configSchema, process.env)
const commands = {
  serve: () => run(buildApp(config).server, config),
  migrate: () => migrate(config, migrations),
  'retry-refund': (order?: string) =>
    retryRefund(buildApp({ ...config, LOG_LEVEL: 'silent' }), order, console),
}
process.exitCode = await runCommand(process.argv.slice(2), commands, console)
