/** Sets up the databases of the system, once or again, and ends. */
import { loadConfig } from '@oms/chassis/config'
import { configSchema } from './config.ts'
import { provision } from './provision.ts'

process.exitCode = await provision(loadConfig(configSchema, process.env), console)
