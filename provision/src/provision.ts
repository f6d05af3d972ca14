/** Databases and roles of every service, by the rules of the chassis; passwords by file. */
import { join } from 'node:path'
import { ConfigError, readSecret } from '@oms/chassis/config'
import { provisionDatabase } from '@oms/chassis/provision'
import type { Config } from './config.ts'
import { SERVICES, STATEMENT_TIMEOUT_MS } from './databases.ts'

interface Terminal {
  log(line: string): void
  error(line: string): void
}

/** Idempotent: run again, it changes nothing but the passwords. Returns the exit code. */
export async function provision(config: Config, terminal: Terminal): Promise<0 | 1> {
  try {
    const superuserPassword =
      config.DATABASE_PASSWORD_FILE && password(config.DATABASE_PASSWORD_FILE)
    for (const service of SERVICES) {
      const database = `oms_${service}`
      await provisionDatabase((name) => urlOf(config.DATABASE_URL, superuserPassword, name), {
        database,
        servicePassword: password(join(config.SERVICE_PASSWORDS_DIR, service)),
        ownerPassword: password(join(config.OWNER_PASSWORDS_DIR, service)),
        statementTimeoutMs: STATEMENT_TIMEOUT_MS[service],
      })
      terminal.log(`${database} is set up`)
    }
    return 0
  } catch (error) {
    terminal.error(
      error instanceof ConfigError
        ? error.message
        : `The databases could not be set up: ${reasonOf(error)}. Check DATABASE_URL, its password and that PostgreSQL runs, and start again: what was done is done again.`,
    )
    return 1
  }
}

function urlOf(base: string, superuserPassword: string | undefined, database: string): string {
  const url = new URL(base)
  url.pathname = `/${database}`
  if (superuserPassword !== undefined) url.password = encodeURIComponent(superuserPassword)
  return url.href
}

/** @throws ConfigError where there is none: PostgreSQL would take an empty one for "nobody may log in". */
function password(file: string): string {
  const found = readSecret(file)
  if (!found) throw new ConfigError(`The secret file ${file} is empty; write a password into it.`)
  return found
}

/** A name with two addresses fails with one reason an address. */
function reasonOf(error: unknown): string {
  const [first] = error instanceof AggregateError ? error.errors : [error]
  return (first as Error).message
}
