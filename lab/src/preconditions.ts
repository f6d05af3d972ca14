/** What a machine must have, looked at first and told together. */
import { existsSync, readFileSync, statfsSync } from 'node:fs'
import { freemem } from 'node:os'
import { dirname } from 'node:path'
import { exec, LabError, run } from './command.ts'
import { STATE_DIR } from './lab.ts'
import { CACHE_DIR } from './tools.ts'

/** Program that shows that it is there → Debian package that brings it. */
const PROGRAMS: Readonly<Record<string, string>> = {
  containerd: 'containerd',
  runc: 'runc',
  '/usr/lib/cni/bridge': 'containernetworking-plugins',
  iptables: 'iptables',
  etcd: 'etcd-server',
  ip: 'iproute2',
  buildah: 'buildah',
  mmdebstrap: 'mmdebstrap',
  tini: 'tini',
  conntrack: 'conntrack',
  ethtool: 'ethtool',
  openssl: 'openssl',
  nsenter: 'util-linux',
  mount: 'mount',
  python3: 'python3',
}

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
  let packages = await missingPackages()
  if (install && packages.length > 0) {
    await installPackages(packages)
    packages = await missingPackages()
  }
  const problems = [
    ...(packages.length === 0
      ? []
      : [
          `Debian packages are missing: pnpm lab build --install, or apt-get install --no-install-recommends ${packages.join(' ')}`,
        ]),
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

async function missingPackages(): Promise<readonly string[]> {
  const missing = await Promise.all(
    Object.entries(PROGRAMS).map(async ([program, name]) =>
      (await isThere(program)) ? [] : [name],
    ),
  )
  return missing.flat()
}

async function isThere(program: string): Promise<boolean> {
  if (program.startsWith('/')) return existsSync(program)
  return (await exec('sh', ['-c', `command -v ${program}`])).code === 0
}

async function installPackages(packages: readonly string[]): Promise<void> {
  if (!(await isThere('apt-get')))
    throw new LabError(
      `There is no apt-get here. Install with this system's own means: ${packages.join(' ')}`,
    )
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  await run('apt-get', ['update', '-q'], { env })
  await run('apt-get', ['install', '-q', '-y', '--no-install-recommends', ...packages], { env })
}

/** The tools' go.mod files say 1.26. */
const LEAST_GO = [1, 26] as const

async function buildProblems(): Promise<readonly string[]> {
  if (!(await isThere('go')))
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
  { what: 'a network namespace with a veth pair', script: 'ip link add a type veth peer name b' },
  { what: 'a network bridge', script: 'ip link add c type bridge' },
  { what: 'iptables with NAT', script: 'iptables -t nat -L -n' },
  {
    what: 'bridged traffic through iptables (br_netfilter)',
    script: 'test -e /proc/sys/net/bridge/bridge-nf-call-iptables',
  },
  {
    what: 'overlayfs on the state folder',
    script:
      'mkdir -p "$1/l" "$1/u" "$1/w" "$1/m" && mount -t overlay o -o lowerdir="$1/l",upperdir="$1/u",workdir="$1/w" "$1/m"',
  },
]

async function kernelProblems(): Promise<readonly string[]> {
  const dir = `${STATE_DIR}-try`
  const problems = await Promise.all(
    KERNEL_TRIES.map(async ({ what, script }) => {
      const args = ['--net', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', dir]
      const { code, stderr } = await exec('unshare', args)
      return code === 0
        ? []
        : [`the kernel gives no ${what}: ${stderr.trim().split('\n').at(-1) ?? ''}`]
    }),
  )
  await run('rm', ['-rf', dir])
  const cgroups =
    existsSync('/sys/fs/cgroup/cgroup.controllers') || existsSync('/sys/fs/cgroup/memory')
  return [
    ...problems.flat(),
    ...(cgroups ? [] : ['/sys/fs/cgroup has no memory controller of version 1 or 2']),
  ]
}

function existing(path: string): string {
  return existsSync(path) ? path : existing(dirname(path))
}

function gibibytes(bytes: number): string {
  return `${(bytes / GIBIBYTE).toFixed(1)} GiB`
}
