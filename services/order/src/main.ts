/** Starts order-service, or runs one of its operations: `migrate`, `prices FILE`. */
import { loadConfig } from '@oms/chassis/config'
import { run } from '@oms/chassis/lifecycle'
import { runCommand } from '@oms/chassis/operations'
import { migrate } from '@oms/chassis/postgres'
import { migrations } from '../migrations/migrations.ts'
import { buildApp } from './app.ts'
import { configSchema } from './config.ts'
import { setPrices } from './operations.ts'

const config = loadConfig(configSchema, process.env)
const commands = {
  serve: () => run(buildApp(config).server, config),
  migrate: () => migrate(config, migrations),
  prices: (file?: string) => setPrices(buildApp({ ...config, LOG_LEVEL: 'silent' }), file, console),
}
process.exitCode = await runCommand(process.argv.slice(2), commands, console)
