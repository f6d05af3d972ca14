/**
 * Vitest's globalSetup: one embedded PostgreSQL for the whole run, gone with it. Or the one of TEST_POSTGRES_URL, a
 * superuser's without a database, where many runs follow each other.
 */
import { chmodSync, existsSync, mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { freePort, startEmbeddedPostgres } from './embedded-postgres.ts'
import './testing-context.ts'

/** Linux's file system in memory. */
const IN_MEMORY = '/dev/shm'
/** Many times what a run takes, 250 MB: the rest of the machine needs some, too. */
const ROOM_BYTES = 4 * 2 ** 30

/** What is thrown away after the run needs no disk; fsync stays on, and costs nothing there. */
function parentFolder(): string {
  if (!existsSync(IN_MEMORY)) return tmpdir()
  const { bavail, bsize } = statfsSync(IN_MEMORY)
  return bavail * bsize < ROOM_BYTES ? tmpdir() : IN_MEMORY
}

export async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const running = process.env['TEST_POSTGRES_URL']
  if (running !== undefined) {
    project.provide('postgresUrl', running)
    return undefined
  }
  const folder = mkdtempSync(join(parentFolder(), 'oms-postgres-'))
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
