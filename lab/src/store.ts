/**
 * The node's image store. Old containers in a store make the next start slow, so a lab never starts from a used one: it
 * starts from a copy of a pristine one, whose files are hard links, but for the databases.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { run } from './command.ts'
import type { Archive } from './images/infrastructure.ts'

const IMPORT = join(import.meta.dirname, 'node/import.ts')

export interface StoreOptions {
  /** Where stores are kept; of each kind only the one used last. */
  readonly cacheDir: string
  readonly kind: string
  readonly archives: readonly Archive[]
  /** A store to start from: what it has needs no import. */
  readonly from?: string
  readonly step: (line: string) => void
}

/** A store that has the archives' images and those of `from`; made where it is missing. */
export async function pristineStore(options: StoreOptions): Promise<string> {
  const { cacheDir, kind, archives, from, step } = options
  const keys = [from, ...archives.map(({ name, key }) => `${name} ${key}`)].join('\n')
  const prefix = `${kind}-store-`
  const name = `${prefix}${createHash('sha256').update(keys).digest('hex').slice(0, 16)}`
  const dir = join(cacheDir, name)
  if (existsSync(dir)) return dir
  const half = mkdtempSync(join(cacheDir, '.store-'))
  try {
    if (from !== undefined) await copyStore(from, join(half, 'store'))
    await importInto(
      join(half, 'store'),
      archives.map(({ file }) => file),
    )
    renameSync(join(half, 'store'), dir)
  } finally {
    rmSync(half, { recursive: true, force: true })
  }
  for (const other of readdirSync(cacheDir))
    if (other.startsWith(prefix) && other !== name)
      rmSync(join(cacheDir, other), { recursive: true, force: true })
  step(`image store: ${archives.length} images imported`)
  return dir
}

async function importInto(store: string, files: readonly string[]): Promise<void> {
  const namespaces = ['--pid', '--mount', '--fork', '--kill-child', '--mount-proc']
  const program = [process.execPath, IMPORT, store, ...files]
  await run('unshare', [...namespaces, '--propagation', 'private', ...program])
}

/** Databases are written in place; everything else of a store is written once. */
const DATABASES = [
  'io.containerd.metadata.v1.bolt/meta.db',
  'io.containerd.snapshotter.v1.overlayfs/metadata.db',
]

export async function copyStore(pristine: string, to: string): Promise<void> {
  mkdirSync(dirname(to), { recursive: true })
  const copied = await run('cp', ['-al', pristine, to]).catch(() => undefined)
  // The state folder may be on another disk than the cache.
  if (copied === undefined) await run('cp', ['-a', pristine, to])
  for (const database of DATABASES)
    await run('cp', ['--remove-destination', join(pristine, database), join(to, database)])
}
