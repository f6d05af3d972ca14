/** In order; expand and contract only: one release back runs on the same schema. */
import type { Migration } from 'kysely/migration'
import * as orders from './001-orders.ts'

export const migrations: Readonly<Record<string, Migration>> = { '001-orders': orders }
