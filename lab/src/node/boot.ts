/**
 * The lab's first process, in network, pid and mount namespaces of its own: mounts, network, certificates, then the
 * programs of a Kubernetes node. Whatever kills it takes all of it along.
 *
 * Its parent hands over listening sockets and hears of each step; until the parent has said `keep`, its end is ours.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { copyFileSync, mkdirSync, openSync, readdirSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { request } from 'node:https'
import type { Server } from 'node:net'
import { join } from 'node:path'
import { LabError, run } from '../command.ts'
import { CNI_CONFIG, type Component, componentFiles, NODE, STORE } from './components.ts'
import { forward, type Target } from './forwards.ts'
import { API_PORT, INSIDE, NETWORK } from './layout.ts'
import { createPki } from './pki.ts'

/** What the parent sends; a listening socket comes with `forward`. */
export type FromParent =
  | { readonly forward: Target }
  | { readonly cgroupRoot: string }
  | { readonly keep: true }
/** What the parent hears. */
export type ToParent =
  | { readonly step: string }
  | { readonly ready: true }
  | { readonly failed: string }

const [stateDir, toolsDir] = process.argv.slice(2) as [string, string]

/** Below the state folder; the volumes are those of k8s/overlays/lab/apps/volumes.yaml. */
const STATE_FOLDERS = [
  'var-lib/kubelet/lab-volumes/postgres',
  'var-lib/kubelet/lab-volumes/card-processor',
  'var-lib/containerd',
  'var-log',
  'logs',
  'etcd',
]

function tell(message: ToParent): void {
  // Nobody listens any more once the parent has gone.
  if (process.connected) process.send?.(message, () => undefined)
}

let kept = false
const cgroupRoot = new Promise<string>((resolve) => {
  process.on('message', (message: FromParent, listening: unknown) => {
    if ('forward' in message) forward(listening as Server, message.forward)
    else if ('cgroupRoot' in message) resolve(message.cgroupRoot)
    else kept = true
  })
})
process.on('disconnect', () => {
  if (!kept) process.exit(1)
})

async function mountOwnFolders(): Promise<void> {
  await run('mount', ['--make-rprivate', '/'])
  // Held open by number: the state folder may lie below what is mounted over next.
  const bind = (from: string, to: string) => run('mount', ['--bind', from, to])
  for (const dir of STATE_FOLDERS) mkdirSync(join(stateDir, dir), { recursive: true })
  const held = await holdOpen(stateDir, toolsDir)
  await run('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'lab-run', '/run'])
  for (const dir of [INSIDE.state, INSIDE.tools, INSIDE.config, INSIDE.cniBin, INSIDE.cniConf])
    mkdirSync(dir, { recursive: true })
  for (const dir of ['/run/netns', '/run/containerd', '/run/lab/volume-plugins', '/run/lock'])
    mkdirSync(dir, { recursive: true })
  await bind(held.state, INSIDE.state)
  await bind(held.tools, INSIDE.tools)
  await bind(join(INSIDE.state, 'var-log'), '/var/log')
  await bind(join(INSIDE.state, 'var-lib'), '/var/lib')
  await bind('/var/lib/kubelet', '/var/lib/kubelet')
  // Volumes that the kubelet mounts have to reach the containers.
  await run('mount', ['--make-rshared', '/var/lib/kubelet'])
  await run('mount', ['--make-rshared', '/run'])
}

/** Paths that lead to the folders also after their parents are hidden. */
async function holdOpen(
  state: string,
  tools: string,
): Promise<{ readonly state: string; readonly tools: string }> {
  const of = (dir: string) => `/proc/${process.pid}/fd/${openSync(dir, 'r')}`
  return { state: of(state), tools: of(tools) }
}

async function createNetwork(): Promise<void> {
  const ip = (...args: readonly string[]) => run('ip', args)
  await ip('link', 'set', 'lo', 'up')
  // Both ends stay inside: the node has an address and no way out.
  await ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'uplink')
  await ip('link', 'set', 'uplink', 'up')
  await ip('addr', 'add', NETWORK.nodeCidr, 'dev', 'eth0')
  await ip('link', 'set', 'eth0', 'up')
  await ip('route', 'add', 'default', 'via', NETWORK.gateway, 'dev', 'eth0')
  for (const key of ['ipv4/ip_forward', 'bridge/bridge-nf-call-iptables'])
    writeFileSync(join('/proc/sys/net', key), '1')
}

async function writeConfiguration(): Promise<void> {
  for (const [name, text] of Object.entries(componentFiles(await cgroupRoot)))
    writeFileSync(join(INSIDE.config, name), text)
  writeFileSync(join(INSIDE.cniConf, '10-lab.conflist'), JSON.stringify(CNI_CONFIG))
  for (const plugin of readdirSync('/usr/lib/cni'))
    copyFileSync(join('/usr/lib/cni', plugin), join(INSIDE.cniBin, plugin))
}

const running = new Map<string, ChildProcess>()

function start({ name, command, flags }: Component): void {
  const log = openSync(join(INSIDE.logs, `${name}.log`), 'a')
  const args = Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`)
  const child = spawn(command, args, { stdio: ['ignore', log, log] })
  running.set(name, child)
  child.once('error', ({ message }) => fail(`${name} could not be started: ${message}.`))
  child.once('exit', (code, signal) => fail(`${name} ended (${signal ?? code}).`, name))
}

function fail(sentence: string, component?: string): void {
  const log = component === undefined ? '' : ` Its log: ${join(stateDir, 'logs', component)}.log`
  tell({ failed: `${sentence}${log}` })
  // The message has to leave first.
  setTimeout(() => process.exit(1), 50)
}

/** 60 s: the API server needs five where the machine is quiet. */
const API_READY_WITHIN_MS = 60_000

async function untilApiIsReady(): Promise<void> {
  const until = performance.now() + API_READY_WITHIN_MS
  const file = (name: string): Promise<Buffer> => readFile(join(INSIDE.pki, name))
  const [ca, cert, key] = await Promise.all([file('ca.crt'), file('admin.crt'), file('admin.key')])
  const ask = (): Promise<boolean> =>
    new Promise((resolve) => {
      const asking = request(
        { host: '127.0.0.1', port: API_PORT, path: '/readyz', ca, cert, key, timeout: 1000 },
        (answer) => {
          answer.resume()
          resolve(answer.statusCode === 200)
        },
      )
      asking.on('timeout', () => asking.destroy())
      asking.on('error', () => resolve(false))
      asking.end()
    })
  while (!(await ask())) {
    if (performance.now() > until)
      throw new LabError(
        `The API server was not ready after 60 s. Its log: ${join(stateDir, 'logs/kube-apiserver.log')}`,
      )
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

try {
  await mountOwnFolders()
  await createNetwork()
  await writeConfiguration()
  await createPki(INSIDE.pki)
  tell({ step: 'namespaces, network, certificates' })
  STORE.forEach(start)
  await untilApiIsReady()
  tell({ step: 'etcd, containerd, API server' })
  NODE.forEach(start)
  tell({ ready: true })
} catch (error) {
  fail(error instanceof LabError ? error.message : String((error as Error).stack))
}
