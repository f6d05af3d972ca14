/** A unit of work as the textbooks draw it: BEGIN, statements one by one, COMMIT, on one connection. */
import { openPool } from '@oms/chassis/pool'
import type pg from 'pg'

/** A prepared statement, by name; the same luck as ours has. */
export interface Statement {
  readonly name: string
  readonly text: string
}

export type Query = <Row>(statement: Statement, values: readonly unknown[]) => Promise<Row[]>

/** 10 connections, kept open, pipelining allowed, as ours. */
export function createPool(connectionString: string): pg.Pool {
  return openPool({ connectionString, max: 10, min: 10, pipeline: true } as pg.PoolConfig)
}

/** Commits what `work` did, or nothing of it. */
export async function inTransaction<T>(
  pool: pg.Pool,
  work: (query: Query) => Promise<T>,
): Promise<T> {
  const client = await pool.connect()
  const query: Query = async (statement, values) =>
    (await client.query({ ...statement, values: [...values] })).rows
  try {
    await client.query('BEGIN')
    const result = await work(query)
    await client.query('COMMIT')
    return result
  } catch (error) {
    await client.query('ROLLBACK')
    throw error
  } finally {
    client.release()
  }
}
