/**
 * The node's image store. Old containers in a store make the next start slow, so a lab never starts from a used one: it
 * starts from a copy of a pristine one, whose files are hard links, but for the databases.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './command.ts'
import type { Archive } from './images/infrastructure.ts'

const IMPORT = join(import.meta.dirname, 'node/import.ts')

/** A store in `cacheDir` that has exactly these images; made where it is missing. */
export async function pristineStore(
  cacheDir: string,
  archives: readonly Archive[],
  step: (line: string) => void,
): Promise<string> {
  const keys = archives.map(({ name, key }) => `${name} ${key}`).join('\n')
  const name = `store-${createHash('sha256').update(keys).digest('hex').slice(0, 16)}`
  const dir = join(cacheDir, name)
  if (existsSync(dir)) return dir
  const half = mkdtempSync(join(cacheDir, '.store-'))
  try {
    const files = archives.map(({ file }) => file)
    await importInto(half, files)
    renameSync(half, dir)
  } finally {
    rmSync(half, { recursive: true, force: true })
  }
  for (const other of readdirSync(cacheDir))
    if (other.startsWith('store-') && other !== name)
      rmSync(join(cacheDir, other), { recursive: true, force: true })
  step(`image store of ${archives.length} images`)
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
  const copied = await run('cp', ['-al', pristine, to]).catch(() => undefined)
  // The state folder may be on another disk than the cache.
  if (copied === undefined) await run('cp', ['-a', pristine, to])
  for (const database of DATABASES)
    await run('cp', ['--remove-destination', join(pristine, database), join(to, database)])
}
