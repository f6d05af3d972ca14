/** buildah on an image store of our own: the user's images and containers are neither seen nor touched. */
import { join } from 'node:path'
import { run } from '../command.ts'

export interface ImageStore {
  /** Runs buildah on this store. @throws LabError with what it said last. */
  buildah(...args: readonly string[]): Promise<string>
}

/** The store is the folder: removing it only costs the next run its time. */
export function openStore(dir: string): ImageStore {
  const place = ['--root', join(dir, 'storage'), '--runroot', join(dir, 'run')]
  const global = [...place, '--storage-driver', 'overlay']
  return {
    buildah(...args) {
      const command = ['buildah', ...global, ...args]
      if (SEEN_OUTSIDE.has(args[0] ?? '')) return run('buildah', command.slice(1))
      // A build that is killed leaves its mounts; in a namespace of its own they end with it.
      return run('unshare', ['--mount', '--propagation', 'private', ...command])
    },
  }
}

/** Of buildah's commands, those whose mounts others use. */
const SEEN_OUTSIDE: ReadonlySet<string> = new Set(['mount', 'umount', 'rm'])

export interface Image {
  readonly entrypoint: readonly string[]
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly workdir: string
  /** A number. */
  readonly user: string
  /** Uncompressed, from the lowest up. */
  readonly layers: readonly { readonly digest: string; readonly bytes: number }[]
}

export async function inspect(store: ImageStore, name: string): Promise<Image> {
  const found = JSON.parse(await store.buildah('inspect', '--type', 'image', name)) as Inspected
  const { Entrypoint = [], Cmd = [], Env = [], WorkingDir = '/', User = '0' } = found.OCIv1.config
  const { layers } = JSON.parse(found.Manifest) as Manifest
  return {
    entrypoint: Entrypoint,
    command: Cmd,
    env: Object.fromEntries(Env.map((each) => each.split(/=(.*)/s).slice(0, 2))),
    workdir: WorkingDir,
    user: User,
    layers: layers.map(({ digest, size }) => ({ digest, bytes: size })),
  }
}

interface Inspected {
  /** JSON. */
  readonly Manifest: string
  readonly OCIv1: {
    readonly config: {
      readonly Entrypoint?: readonly string[]
      readonly Cmd?: readonly string[]
      readonly Env?: readonly string[]
      readonly WorkingDir?: string
      readonly User?: string
    }
  }
}

interface Manifest {
  readonly layers: readonly { readonly digest: string; readonly size: number }[]
}
