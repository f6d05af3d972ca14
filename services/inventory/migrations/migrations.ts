/** In order; expand and contract only: one release back runs on the same schema. */
import type { Migration } from 'kysely/migration'
import * as stock from './001-stock.ts'

export const migrations: Readonly<Record<string, Migration>> = { '001-stock': stock }
