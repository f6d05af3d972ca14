/**
 * In order; expand and contract only: one release back runs on the same schema. A program that serves compares their
 * names; what they do is read when they are applied.
 */
import type { Migration } from 'kysely/migration'

export const migrations: Readonly<Record<string, Migration>> = {
  '001-payments': { up: async (db) => (await import('./001-payments.ts')).up(db) },
}
