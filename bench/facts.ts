/** The machine a result belongs to: without it a rate says nothing. */
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { cpus, loadavg, totalmem } from 'node:os'
import { join } from 'node:path'
import { summarise } from './statistics.ts'
import type { World } from './world.ts'

export interface Facts {
  readonly date: string
  readonly cores: number
  readonly cpu: string
  readonly memoryGb: number
  readonly node: string
  readonly postgres: string
  /** Median of 100 flushes of 8 kB: what a commit waits for at least. */
  readonly flushMs: number
  /** Of the minute before the run; an idle machine has nearly none. */
  readonly loadBefore: number
}

const FLUSHES = 100

export async function readFacts(world: World): Promise<Facts> {
  const [version] = await world.query<{ server_version: string }>('postgres', 'SHOW server_version')
  const all = cpus()
  return {
    date: new Date().toISOString().slice(0, 10),
    cores: all.length,
    cpu: all[0]?.model.trim() ?? 'unknown',
    memoryGb: Math.round(totalmem() / 2 ** 30),
    node: process.versions.node,
    postgres: version?.server_version ?? 'unknown',
    flushMs: flushMs(world.folder),
    loadBefore: loadavg()[0] ?? 0,
  }
}

export function factsLine(facts: Facts): string {
  const { date, cores, cpu, memoryGb, node, postgres } = facts
  const flush = facts.flushMs.toFixed(2)
  return `${date}: ${cores} cores (${cpu}), ${memoryGb} GB, Node ${node}, PostgreSQL ${postgres}, fsync on, a flush takes ${flush} ms; load before the run ${facts.loadBefore.toFixed(1)}.`
}

function flushMs(folder: string): number {
  const path = join(folder, 'flush')
  const file = openSync(path, 'w')
  const page = Buffer.alloc(8192, 1)
  const times = Array.from({ length: FLUSHES }, () => {
    const startedAt = performance.now()
    writeSync(file, page)
    fdatasyncSync(file)
    return performance.now() - startedAt
  })
  closeSync(file)
  rmSync(path)
  return summarise(times).median
}
