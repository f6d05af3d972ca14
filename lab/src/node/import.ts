/**
 * Fills an image store: a containerd of its own, in namespaces of its own, imports archives and ends. What it leaves is
 * the store that labs start from.
 *
 * node import.ts STORE ARCHIVE…
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { exec, LabError, run } from '../command.ts'

const [store, ...archives] = process.argv.slice(2) as [string, ...string[]]

/** 10 s; it takes a quarter of one. */
const TRIES = 100

async function untilUp(
  ctr: (...args: readonly string[]) => Promise<{ code: number }>,
): Promise<void> {
  for (let i = 0; i < TRIES; i++) {
    if ((await ctr('version')).code === 0) return
    await pause(100)
  }
  throw new LabError('containerd did not start in 10 s.')
}

try {
  await run('mount', ['--make-rprivate', '/'])
  mkdirSync(store, { recursive: true })
  await run('mount', ['-t', 'tmpfs', 'lab-run', '/run'])
  writeFileSync(
    '/run/containerd.toml',
    `version = 2\nroot = "${store}"\nstate = "/run/containerd"\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n`,
  )
  const containerd = spawn('containerd', ['--config', '/run/containerd.toml'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const ctr = (...args: readonly string[]) =>
    exec('ctr', ['--address', '/run/containerd/containerd.sock', '-n', 'k8s.io', ...args])
  await untilUp(ctr)
  for (const archive of archives) {
    const { code, stderr } = await ctr('images', 'import', archive)
    if (code !== 0) throw new LabError(`${archive} could not be imported: ${stderr.trim()}`)
  }
  const ended = once(containerd, 'exit')
  containerd.kill('SIGTERM')
  await ended
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exit(1)
}
