/** Faults of real processes: armed through files, which a preloaded hook claims. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Fault } from './site.ts'

const HOOK = join(import.meta.dirname, 'fault-hook.ts')

export interface Faults {
  /** Of every service whose processes shall heed them. */
  readonly env: Readonly<Record<string, string>>
  arm(fault: Fault): void
  /** Nothing is armed any more. */
  disarm(): void
  /** Points where a process did what was armed, in their order. */
  hits(): readonly string[]
  /** Points that processes came by, armed or not. */
  passed(): readonly string[]
}

/** @param folder made where it is missing. */
export function createFaults(folder: string): Faults {
  mkdirSync(folder, { recursive: true })
  const armed = new Set<string>()

  function lines(name: string): readonly string[] {
    const path = join(folder, name)
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : []
  }

  /** In one step: the hook must not read half of it. */
  function arm(fault: Fault): void {
    const draft = join(folder, 'draft')
    writeFileSync(draft, JSON.stringify(fault))
    renameSync(draft, join(folder, fault.point))
    armed.add(fault.point)
  }

  return {
    env: { NODE_OPTIONS: `--import=${HOOK}`, FAULTS_DIR: folder },
    arm,
    disarm() {
      for (const point of armed) rmSync(join(folder, point), { force: true })
      armed.clear()
    },
    hits: () => lines('hits'),
    passed: () => lines('passed'),
  }
}
