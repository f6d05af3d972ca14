/** Starting and ending the lab's one process, from the host's side. */
import { type ChildProcess, spawn } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { rm } from 'node:fs/promises'
import type { Server } from 'node:net'
import { dirname, join } from 'node:path'
import { cgroupRootOf, createCgroups, removeDeadCgroups } from './cgroups.ts'
import { LabError } from './command.ts'
import { ROOT } from './folders.ts'
import type { FromParent, ToParent } from './node/boot.ts'
import { DOORS, type DoorName, openDoors } from './ports.ts'

const BOOT = join(import.meta.dirname, 'node/boot.ts')

/** Of this checkout; everything in it is of the lab that runs or ran last. */
export const STATE_DIR = join(ROOT, '.lab')
const BOOT_LOG = join(STATE_DIR, 'logs/boot.log')
const RECORD = join(STATE_DIR, 'lab.json')

/** What `.lab/lab.json` says of a lab that runs. */
export interface Lab {
  /** Whatever ends this process ends the lab. */
  readonly pid: number
  readonly portOffset: number
}

/** The lab of this checkout, where it runs. */
export function runningLab(): Lab | undefined {
  if (!existsSync(RECORD)) return undefined
  const lab = JSON.parse(readFileSync(RECORD, 'utf8')) as Lab
  return isLab(lab.pid, BOOT) ? lab : undefined
}

/** @throws LabError where none runs. */
export function requireLab(): Lab {
  const lab = runningLab()
  if (lab === undefined) throw new LabError('The lab is not up. Bring it up: pnpm lab up')
  return lab
}

export function urlOf(lab: Lab, door: DoorName): string {
  const scheme = door === 'kubernetes' || door === 'gateway' ? 'https' : 'http'
  return `${scheme}://127.0.0.1:${DOORS[door].hostPort + lab.portOffset}`
}

/** A number that meanwhile belongs to another program is no lab. @param boot its first program; any checkout's by default. */
function isLab(pid: number, boot = 'lab/src/node/boot.ts'): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`${boot}\0`)
  } catch {
    return false
  }
}

/** The first process inside, by the host's number: whose namespaces are the lab's. */
function insidePid({ pid }: Lab): number {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return Number(children.split(' ')[0])
}

/** What `nsenter` needs to go where the lab's programs run. */
export function insideOf(lab: Lab): readonly string[] {
  return ['--target', String(insidePid(lab)), '--net', '--pid', '--mount', '--']
}

export interface StartOptions {
  readonly toolsDir: string
  readonly portOffset: number
  /** Puts what the node starts with into the emptied state folder. */
  readonly fill: (stateDir: string) => Promise<void>
  readonly onStep: (step: string) => void
}

export interface StartedLab {
  readonly lab: Lab
  /** From then on it outlives this process; until then whatever ends this process ends it, too. */
  keep(): Promise<void>
}

/** Resolves once the API server answers. @throws LabError naming the log to read. */
export async function startLab(options: StartOptions): Promise<StartedLab> {
  const { toolsDir, portOffset, fill, onStep } = options
  if (runningLab() !== undefined)
    throw new LabError('The lab is up already. Use it, or end it first: pnpm lab down')
  removeDeadCgroups((pid) => isLab(pid))
  const emptied = emptyStateDir()
  await fill(STATE_DIR)

  const doors = await openDoors(portOffset)
  const child = spawnBoot(toolsDir)
  const pid = child.pid as number
  createCgroups(cgroupRootOf(pid))
  const lab = { pid, portOffset }
  writeFileSync(RECORD, JSON.stringify(lab))
  const ready = untilReady(child, onStep)
  async function handOver(): Promise<void> {
    for (const { target, listening } of doors) await send(child, { forward: target }, listening)
    await send(child, { cgroupRoot: cgroupRootOf(pid) })
  }
  try {
    // Not awaited: a process that has died takes no socket, and says nothing of it. Only its end does.
    void handOver()
    await ready
  } finally {
    // The other process has them, or nobody needs them.
    for (const { listening } of doors) listening.close()
  }
  await emptied
  async function keep(): Promise<void> {
    await send(child, { keep: true })
    child.disconnect()
    child.unref()
  }
  return { lab, keep }
}

/** At once; resolves when what was in it is gone from the disk, too. */
async function emptyStateDir(): Promise<void> {
  const old = `${STATE_DIR}.old`
  rmSync(old, { recursive: true, force: true })
  if (existsSync(STATE_DIR)) renameSync(STATE_DIR, old)
  mkdirSync(STATE_DIR, { recursive: true })
  await rm(old, { recursive: true, force: true })
}

function send(child: ChildProcess, message: FromParent, handle?: Server): Promise<void> {
  return new Promise((resolve) => {
    child.send(message, handle, () => resolve())
  })
}

function spawnBoot(toolsDir: string): ChildProcess {
  const namespaces = ['--net', '--pid', '--mount', '--fork', '--kill-child', '--mount-proc']
  const boot = ['tini', '--', process.execPath, BOOT, STATE_DIR, toolsDir]
  mkdirSync(dirname(BOOT_LOG), { recursive: true })
  const log = openSync(BOOT_LOG, 'a')
  const child = spawn('unshare', [...namespaces, '--propagation', 'private', ...boot], {
    stdio: ['ignore', log, log, 'ipc'],
    detached: true,
  })
  closeSync(log)
  return child
}

function untilReady(child: ChildProcess, onStep: (step: string) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) =>
      reject(
        new LabError(
          `The lab's first process ended (${signal ?? code}) before it was ready. Its log: ${BOOT_LOG}`,
        ),
      ),
    )
    child.on('message', (message: ToParent) => {
      if ('step' in message) onStep(message.step)
      else if ('failed' in message) reject(new LabError(message.failed))
      else resolve()
    })
  })
}

/** 10 s: killing a namespace's first process ends all others at once. */
const GONE_WITHIN_MS = 10_000

/** Until the next lab: what it wrote down, and its image store, thousands of files that take seconds to remove. */
const KEPT: readonly string[] = ['logs', 'var-log', 'var-lib']

/** Ends the lab of this checkout, and what dead ones left. Returns whether one ran. */
export async function stopLab(): Promise<boolean> {
  const lab = runningLab()
  if (lab !== undefined) {
    const inside = insidePid(lab)
    process.kill(lab.pid, 'SIGKILL')
    const until = performance.now() + GONE_WITHIN_MS
    while (existsSync(`/proc/${inside}`) || existsSync(`/proc/${lab.pid}`)) {
      if (performance.now() > until)
        throw new LabError(
          `Process ${inside} of the lab does not end. Look: ps -o stat,wchan ${inside}`,
        )
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  removeDeadCgroups((pid) => isLab(pid))
  for (const entry of existsSync(STATE_DIR) ? readdirSync(STATE_DIR) : [])
    if (!KEPT.includes(entry)) rmSync(join(STATE_DIR, entry), { recursive: true, force: true })
  return lab !== undefined
}
