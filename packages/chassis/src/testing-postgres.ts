/**
 * Vitest's globalSetup: one embedded PostgreSQL for the whole run, gone with it. Or the one of TEST_POSTGRES_URL, a
 * superuser's without a database, where many runs follow each other.
 */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { freePort, startEmbeddedPostgres } from './embedded-postgres.ts'
import './testing-context.ts'

export async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const running = process.env['TEST_POSTGRES_URL']
  if (running !== undefined) {
    project.provide('postgresUrl', running)
    return undefined
  }
  const folder = mkdtempSync(join(tmpdir(), 'oms-postgres-'))
  // As root the server runs as user postgres, who must get through.
  chmodSync(folder, 0o755)
  const postgres = await startEmbeddedPostgres({
    dataDir: join(folder, 'data'),
    port: await freePort(),
    superuserPassword: 'test',
    settings: ['max_connections=300'],
  })
  project.provide('postgresUrl', postgres.url('').replace(/\/$/, ''))
  return async () => {
    await postgres.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}
