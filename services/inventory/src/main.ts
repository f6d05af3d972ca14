/** Starts inventory-service, or runs one of its operations: `migrate`, `stock FILE`. */
import { loadConfig } from '@oms/chassis/config'
import { run } from '@oms/chassis/lifecycle'
import { migrate } from '@oms/chassis/postgres'
import { migrations } from '../migrations/migrations.ts'
import { buildApp } from './app.ts'
import { configSchema } from './config.ts'
import { supplyStock } from './operations.ts'

const config = loadConfig(configSchema, process.env)
const [operation, argument] = process.argv.slice(2)

switch (operation) {
  case undefined: {
    const { server } = buildApp(config)
    await run(server, config)
    break
  }
  case 'migrate':
    await migrate(config, migrations)
    break
  case 'stock':
    process.exitCode = await supplyStock(
      buildApp({ ...config, LOG_LEVEL: 'silent' }),
      argument,
      console,
    )
    break
  default:
    console.error(
      `There is no operation "${operation}". Use: migrate, stock FILE, or none to serve.`,
    )
    process.exitCode = 2
}
