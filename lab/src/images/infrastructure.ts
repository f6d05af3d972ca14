/** What a lab runs besides the product, under the names it has in production, made of the lab's own tools. */
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { ROOT } from '../folders.ts'
import { PAUSE_IMAGE } from '../node/layout.ts'
import { ISTIO_VERSION, type Tools } from '../tools.ts'
import { debian, postgresFiles } from './stand-ins.ts'
import type { ImageStore } from './store.ts'

interface Recipe {
  readonly name: string
  /** Debian's, unpacked; none for programs that need nothing. */
  readonly packages?: readonly string[]
  /** Where in the image → what on the host. */
  readonly files: Readonly<Record<string, string>>
  /** Where in the image → what is written there. */
  readonly texts?: Readonly<Record<string, string>>
  /** Lines of the Containerfile after the files. */
  readonly config: readonly string[]
}

const PATH = 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const C_LIBRARY = ['base-files', 'ca-certificates', 'libc6', 'libgcc-s1']
const SHELL = [...C_LIBRARY, 'coreutils', 'dash', 'libstdc++6']

export const ISTIO_HUB = 'docker.io/istio'

function recipes(tools: Tools): readonly Recipe[] {
  const istio = (name: string): string => tools.program('istio', name)
  return [
    {
      name: PAUSE_IMAGE,
      files: { '/pause': tools.program('pause', 'pause') },
      config: ['USER 65535:65535', 'ENTRYPOINT ["/pause"]'],
    },
    {
      name: 'registry.k8s.io/coredns/coredns:v1.15.0',
      files: { '/coredns': tools.program('coredns', 'coredns') },
      config: ['ENTRYPOINT ["/coredns"]'],
    },
    {
      name: `${ISTIO_HUB}/pilot:${ISTIO_VERSION}`,
      packages: C_LIBRARY,
      files: { '/usr/local/bin/pilot-discovery': istio('pilot-discovery') },
      config: ['USER 1337:1337', 'ENTRYPOINT ["/usr/local/bin/pilot-discovery"]'],
    },
    {
      name: `${ISTIO_HUB}/proxyv2:${ISTIO_VERSION}`,
      packages: [...C_LIBRARY, 'iptables'],
      files: {
        '/var/lib/istio/envoy/envoy_bootstrap_tmpl.json': join(
          tools.dirOf('istio'),
          'envoy_bootstrap.json',
        ),
        '/usr/local/bin/envoy': tools.program('envoy', 'envoy'),
        '/usr/local/bin/pilot-agent': istio('pilot-agent'),
      },
      config: [PATH, 'ENTRYPOINT ["/usr/local/bin/pilot-agent"]'],
    },
    {
      name: `${ISTIO_HUB}/install-cni:${ISTIO_VERSION}`,
      packages: [...C_LIBRARY, 'iptables'],
      files: {
        '/opt/cni/bin/istio-cni': istio('istio-cni'),
        '/usr/local/bin/install-cni': istio('install-cni'),
      },
      config: [PATH, 'WORKDIR /opt/cni/bin', 'CMD ["install-cni"]'],
    },
    {
      name: 'docker.io/jaegertracing/jaeger:2.13.0',
      packages: C_LIBRARY,
      files: { '/cmd/jaeger/jaeger-linux': tools.program('jaeger', 'jaeger') },
      config: ['USER 10001', 'ENTRYPOINT ["/cmd/jaeger/jaeger-linux"]'],
    },
    {
      name: 'docker.io/prom/prometheus:v3.16.0',
      packages: C_LIBRARY,
      files: {
        '/bin/prometheus': tools.program('prometheus', 'prometheus'),
        '/bin/promtool': tools.program('prometheus', 'promtool'),
      },
      config: ['USER 65534', 'ENTRYPOINT ["/bin/prometheus"]'],
    },
    {
      name: 'docker.io/grafana/k6:1.8.1',
      packages: C_LIBRARY,
      files: { '/usr/bin/k6': tools.program('k6', 'k6') },
      config: ['USER 12345', 'ENTRYPOINT ["/usr/bin/k6"]'],
    },
    {
      name: 'docker.io/library/postgres:18',
      packages: SHELL,
      files: { '/usr/lib/postgresql/18': postgresFiles() },
      // initdb refuses a user without a name.
      texts: {
        '/etc/passwd': 'postgres:x:999:999::/var/lib/postgresql:/bin/sh\n',
        '/etc/group': 'postgres:x:999:\n',
      },
      // As the original does: SIGINT is PostgreSQL's fast shutdown.
      config: [`${PATH}:/usr/lib/postgresql/18/bin`, 'STOPSIGNAL SIGINT', 'USER 999'],
    },
  ]
}

export interface Archive {
  readonly name: string
  /** Changes with what is in the image. */
  readonly key: string
  readonly file: string
}

/**
 * An archive of each image in `cacheDir`, made where it is missing; `step` hears of those.
 * @throws LabError with what the build said last.
 */
export async function infrastructureArchives(
  store: ImageStore,
  tools: Tools,
  cacheDir: string,
  step: (line: string) => void,
): Promise<readonly Archive[]> {
  mkdirSync(cacheDir, { recursive: true })
  const archives: Archive[] = []
  const bases = createBases()
  try {
    for (const recipe of recipes(tools)) {
      // How it is made counts as much as what it is made of; where the checkout lies does not.
      const content = [
        JSON.stringify(recipe).replaceAll(ROOT, ''),
        readFileSync(import.meta.filename),
      ]
      const key = content
        .reduce((hash, each) => hash.update(each), createHash('sha256'))
        .digest('hex')
        .slice(0, 16)
      const file = join(cacheDir, `${basename(recipe.name).replace(':', '-')}-${key}.tar`)
      if (!existsSync(file)) {
        await make(store, recipe, file, bases)
        step(`image ${recipe.name}`)
      }
      archives.push({ name: recipe.name, key, file })
    }
    return archives
  } finally {
    bases.remove()
  }
}

interface Bases {
  /** A tar file of Debian packages, unpacked once for all recipes that ask for the same. */
  tarOf(packages: readonly string[]): Promise<string>
  remove(): void
}

function createBases(): Bases {
  const dir = mkdtempSync(join(tmpdir(), 'oms-bases-'))
  const made = new Map<string, Promise<string>>()
  async function unpack(packages: readonly string[]): Promise<string> {
    const tar = join(dir, `${made.size}.tar`)
    await debian(packages, tar)
    return tar
  }
  return {
    tarOf(packages) {
      const key = packages.join()
      const tar = made.get(key) ?? unpack(packages)
      made.set(key, tar)
      return tar
    },
    remove: () => rmSync(dir, { recursive: true }),
  }
}

async function make(store: ImageStore, recipe: Recipe, file: string, bases: Bases): Promise<void> {
  const { name, packages, files, texts = {}, config } = recipe
  const context = mkdtempSync(join(tmpdir(), 'oms-image-'))
  try {
    if (packages !== undefined) linkSync(await bases.tarOf(packages), join(context, 'base.tar'))
    for (const [target, source] of Object.entries(files)) {
      mkdirSync(join(context, 'files', dirname(target)), { recursive: true })
      cpSync(source, join(context, 'files', target), { recursive: true, verbatimSymlinks: true })
    }
    for (const [target, text] of Object.entries(texts)) {
      mkdirSync(join(context, 'files', dirname(target)), { recursive: true })
      writeFileSync(join(context, 'files', target), text)
    }
    const base = packages === undefined ? [] : ['ADD base.tar /']
    const lines = ['FROM scratch', ...base, 'COPY files/ /', ...config]
    writeFileSync(join(context, 'Containerfile'), `${lines.join('\n')}\n`)
    await store.buildah('build', '--isolation', 'chroot', '--pull-never', '--tag', name, context)
    await archive(store, name, file)
  } finally {
    rmSync(context, { recursive: true })
  }
}

/** Renamed when whole, so that a file that is there can be used. */
export async function archive(store: ImageStore, name: string, file: string): Promise<void> {
  const half = `${file}.half`
  rmSync(half, { force: true })
  await store.buildah('push', '--quiet', name, `docker-archive:${half}:${name}`)
  renameSync(half, file)
}
