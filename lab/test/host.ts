/** What a lab could leave on the host: processes in other namespaces, mounts, links, iptables rules, cgroups. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { exec } from '../src/command.ts'

export interface HostState {
  /** `pid command` of what lives in a network or pid namespace that is not ours. */
  readonly strangers: readonly string[]
  readonly mounts: readonly string[]
  readonly links: readonly string[]
  readonly rules: readonly string[]
  readonly cgroups: readonly string[]
}

declare module 'vitest' {
  interface ProvidedContext {
    /** Before running.ts brought the lab up. */
    hostBefore: HostState
  }
}

export async function hostState(): Promise<HostState> {
  const [links, rules] = await Promise.all([
    exec('ip', ['-brief', 'link']),
    exec('iptables-save', []),
  ])
  return {
    strangers: strangers(),
    mounts: lines(readFileSync('/proc/self/mountinfo', 'utf8')),
    links: lines(links.stdout).map((line) => line.split(/\s+/)[0] as string),
    // Its comments have the time of day, its counters run.
    rules: lines(rules.stdout)
      .filter((line) => !line.startsWith('#'))
      .map((line) => line.replace(/\[\d+:\d+\]/, '')),
    cgroups: cgroups('/sys/fs/cgroup'),
  }
}

function lines(text: string): readonly string[] {
  return text.split('\n').filter((line) => line !== '')
}

function strangers(): readonly string[] {
  const namespace = (pid: string | number, kind: string): string =>
    readlinkSync(`/proc/${pid}/ns/${kind}`)
  const own = ['net', 'pid'].map((kind) => namespace(process.pid, kind))
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((pid) => {
      try {
        const theirs = ['net', 'pid'].map((kind) => namespace(pid, kind))
        if (theirs.every((each, index) => each === own[index])) return []
        return [`${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`]
      } catch {
        // It has ended meanwhile.
        return []
      }
    })
}

/** Below the two first levels, where every tree of the lab hangs. */
function cgroups(mount: string): readonly string[] {
  const below = (dir: string): readonly string[] =>
    readdirSync(dir, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => join(dir, name))
  return below(mount)
    .flatMap((dir) => [dir, ...below(dir)])
    .filter((dir) => dir.includes('order-management-lab'))
}
