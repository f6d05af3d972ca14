/**
 * Runs an image without a container engine: buildah lays out its files, namespaces and a bind mount make a read-only
 * root of them (sandbox.sh). The network is the host's. Whatever ends this process ends its containers.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LabError } from '../command.ts'
import { type ImageStore, inspect } from './store.ts'

const SANDBOX = join(import.meta.dirname, 'sandbox.sh')

export interface Mount {
  /** On the host. */
  readonly source: string
  readonly target: string
  readonly mode: 'ro' | 'rw'
}

export interface ContainerOptions {
  readonly image: string
  /** In place of the image's entrypoint and command. */
  readonly entrypoint?: readonly string[]
  readonly command?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly mounts?: readonly Mount[]
  /** Standard output and error go there. */
  readonly logFile: string
}

export interface Container {
  /** When the program was asked for, by `performance.now()`. */
  readonly startedAt: number
  /** Memory that it holds now. */
  residentBytes(): number
  /** Exit code; not 0 for a death by signal. */
  readonly exit: Promise<number | undefined>
  /** Sends the signal where it still runs, and resolves as `exit` does. */
  stop(signal?: NodeJS.Signals): Promise<number | undefined>
}

let count = 0

export async function startContainer(
  store: ImageStore,
  { image: name, logFile, env = {}, mounts = [], ...over }: ContainerOptions,
): Promise<Container> {
  const image = await inspect(store, name)
  if (!/^\d+$/.test(image.user))
    throw new LabError(`The user of ${name} is "${image.user}", not a number.`)
  count += 1
  const container = `${PREFIX}${process.pid}-${count}`
  await store.buildah('from', '--pull-never', '--name', container, name)
  const root = (await store.buildah('mount', container)).trim()

  const log = openSync(logFile, 'a')
  const args = [
    ...['--pdeathsig', 'KILL', '--', 'unshare', '--pid', '--fork', '--kill-child', '--'],
    ...['unshare', '--mount', '--propagation', 'private', '--pid', '--fork', '--'],
    ...['sh', SANDBOX, root, image.workdir, image.user],
    ...mounts.flatMap(({ source, target, mode }) => [source, target, mode]),
    '--',
    ...(over.entrypoint ?? image.entrypoint),
    ...(over.command ?? (over.entrypoint === undefined ? image.command : [])),
  ]
  const startedAt = performance.now()
  const child = spawn('setpriv', args, {
    env: { ...image.env, ...env },
    stdio: ['ignore', log, log],
  })
  closeSync(log)

  async function gone(): Promise<number | undefined> {
    try {
      return await ended(child)
    } finally {
      await store.buildah('rm', container)
    }
  }
  const exit = gone()

  return {
    startedAt,
    residentBytes() {
      const status = readFileSync(`/proc/${programOf(child)}/status`, 'utf8')
      return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
    },
    exit,
    stop(signal = 'SIGTERM') {
      if (child.exitCode === null && child.signalCode === null)
        process.kill(programOf(child), signal)
      return exit
    },
  }
}

function ended(child: ChildProcess): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => resolve(code ?? undefined))
  })
}

/**
 * The image's program: process 1 of a namespace in a namespace. It alone would outlive us, for who changes his user is no
 * longer told of a parent's death; with process 1 of the outer one, which stays root, everything inside ends.
 */
function programOf({ pid }: ChildProcess): number {
  return onlyChildOf(onlyChildOf(pid as number))
}

function onlyChildOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'))
}

/** 120 s: what runs to its end does it in one or two. */
const END_WITHIN_MS = 120_000

/** Runs an image's program to its end; one that comes to none is killed. */
export async function runContainer(
  store: ImageStore,
  options: Omit<ContainerOptions, 'logFile'>,
): Promise<{ readonly code: number | undefined; readonly output: string }> {
  count += 1
  const logFile = join(tmpdir(), `${PREFIX}${process.pid}-${count}.log`)
  const { exit, stop } = await startContainer(store, { ...options, logFile })
  const late = setTimeout(() => void stop('SIGKILL'), END_WITHIN_MS)
  const code = await exit
  clearTimeout(late)
  const output = readFileSync(logFile, 'utf8')
  rmSync(logFile)
  return { code, output }
}

const PREFIX = 'oms-run-'

/** Removes what a run that was killed left in the store. */
export async function removeLeftOvers(store: ImageStore): Promise<void> {
  const names = await store.buildah('containers', '--noheading', '--format', '{{.ContainerName}}')
  for (const name of names.split('\n').filter((each) => each.startsWith(PREFIX)))
    if (!isRunning(Number(name.slice(PREFIX.length).split('-')[0]))) await store.buildah('rm', name)
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
