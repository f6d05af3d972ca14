/** What a machine must have, looked at first and told together. */
import { existsSync, readFileSync, statfsSync } from 'node:fs'
import { freemem } from 'node:os'
import { dirname } from 'node:path'
import { exec, LabError, run } from './command.ts'
import { CACHE_DIR } from './folders.ts'
import { STATE_DIR } from './lab.ts'
import { overlayProblems, packageProblems } from './machine.ts'

const DEBIAN_PACKAGES = [
  'buildah',
  'conntrack',
  'containerd',
  'containernetworking-plugins',
  'etcd-server',
  'ethtool',
  'iproute2',
  'iptables',
  'mmdebstrap',
  'openssl',
  'python3',
  'runc',
  'tini',
]

const GIBIBYTE = 2 ** 30
/** Tools 1.5 GiB, Go's own caches 6, images 2, a lab 1. */
const DISK_BYTES = { build: 12 * GIBIBYTE, run: 3 * GIBIBYTE }
/** 4 GiB by the bar, and something for the host. */
const MEMORY_BYTES = 5 * GIBIBYTE

export interface Needs {
  /** The tools have to be built first. */
  readonly build: boolean
  /** Missing Debian packages are installed. */
  readonly install: boolean
}

/** @throws LabError with everything that is missing, each with what to do. */
export async function checkMachine({ build, install }: Needs): Promise<void> {
  if (process.platform !== 'linux')
    throw new LabError(
      `The lab is made of Linux namespaces; this is ${process.platform}. Use a Linux machine or virtual machine with root, or docs/kind.md.`,
    )
  if (process.getuid?.() !== 0)
    throw new LabError(
      'The lab makes namespaces, mounts and cgroups: run it as root, as with sudo -E npm run lab',
    )
  const packages = await packageProblems(DEBIAN_PACKAGES, 'pnpm lab build', install)
  const problems = [
    ...packages,
    ...(build ? await buildProblems() : []),
    ...diskProblems(build),
    ...memoryProblems(),
    ...(packages.length === 0 ? await kernelProblems() : []),
  ]
  if (problems.length > 0)
    throw new LabError(
      `This machine cannot run the lab yet:\n${problems.map((each) => `- ${each}`).join('\n')}`,
    )
}

/** The tools' go.mod files say 1.26. */
const LEAST_GO = [1, 26] as const

async function buildProblems(): Promise<readonly string[]> {
  if ((await exec('sh', ['-c', 'command -v go'])).code !== 0)
    return [
      'Go is missing, and the tools are not built yet: install Go 1.26 or later (https://go.dev/doc/install) and put it on the PATH',
    ]
  const version = (await run('go', ['env', 'GOVERSION'])).trim()
  const [major = 0, minor = 0] = version.replace('go', '').split('.').map(Number)
  return major > LEAST_GO[0] || (major === LEAST_GO[0] && minor >= LEAST_GO[1])
    ? []
    : [`Go is ${version}; the tools need 1.26 or later`]
}

function diskProblems(build: boolean): readonly string[] {
  const needed = build ? DISK_BYTES.build : DISK_BYTES.run
  return [CACHE_DIR, STATE_DIR].flatMap((dir) => {
    const { bavail, bsize } = statfsSync(existing(dir))
    const free = bavail * bsize
    return free >= needed
      ? []
      : [`${gibibytes(free)} are free for ${dir}, ${gibibytes(needed)} are needed: make room`]
  })
}

function memoryProblems(): readonly string[] {
  const free = availableMemory()
  return free >= MEMORY_BYTES
    ? []
    : [
        `${gibibytes(free)} of memory are free, ${gibibytes(MEMORY_BYTES)} are needed: end something else first`,
      ]
}

function availableMemory(): number {
  const found = /MemAvailable:\s+(\d+) kB/.exec(readFileSync('/proc/meminfo', 'utf8'))
  return found === null ? freemem() : Number(found[1]) * 1024
}

/** Each tried in namespaces that end with the try. */
const KERNEL_TRIES: readonly { readonly what: string; readonly script: string }[] = [
  {
    what: 'a network namespace with a veth pair',
    script: 'ip link add lab0 type veth peer name lab1',
  },
  { what: 'a network bridge', script: 'ip link add lab2 type bridge' },
  { what: 'iptables with NAT', script: 'iptables -t nat -L -n' },
  {
    what: 'bridged traffic through iptables (br_netfilter)',
    script: 'test -e /proc/sys/net/bridge/bridge-nf-call-iptables',
  },
]

async function kernelProblems(): Promise<readonly string[]> {
  const problems = await Promise.all(
    KERNEL_TRIES.map(async ({ what, script }) => {
      const args = ['--net', '--mount', '--propagation', 'private', 'sh', '-c', script]
      const { code, stderr } = await exec('unshare', args)
      return code === 0
        ? []
        : [`the kernel gives no ${what}: ${stderr.trim().split('\n').at(-1) ?? ''}`]
    }),
  )
  const cgroups =
    existsSync('/sys/fs/cgroup/cgroup.controllers') || existsSync('/sys/fs/cgroup/memory')
  return [
    ...problems.flat(),
    ...(await overlayProblems(STATE_DIR, 'put the project on a disk of its own (ext4, xfs)')),
    ...(cgroups ? [] : ['/sys/fs/cgroup has no memory controller of version 1 or 2']),
  ]
}

function existing(path: string): string {
  return existsSync(path) ? path : existing(dirname(path))
}

function gibibytes(bytes: number): string {
  return `${(bytes / GIBIBYTE).toFixed(1)} GiB`
}
