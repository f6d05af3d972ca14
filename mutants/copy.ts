/** A copy of the project in which a mistake can be made without harm to it. */
import { execFile } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export const ROOT = resolve(import.meta.dirname, '..')
const PATCHES = join(import.meta.dirname, 'patches')

/** Packages of third parties, the one large folder: they are no part of what is mutated. */
const STORE = '.pnpm'
/** Caches of tools, by the folder that they ran in. */
const CACHES = new Set(['.cache', '.vite', '.vitest'])

export interface Copy {
  readonly folder: string
  /** @throws where the patch does not fit the sources any more. */
  mutate(name: string): Promise<void>
  restore(name: string): Promise<void>
  remove(): void
}

export async function createCopy(): Promise<Copy> {
  const folder = mkdtempSync(join(tmpdir(), 'oms-mutants-'))
  // With what is not committed yet, without what git ignores.
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard']
  const { stdout } = await run('git', args, { cwd: ROOT, maxBuffer: 2 ** 26 })
  const files = stdout.split('\0').filter((file) => file !== '' && existsSync(join(ROOT, file)))
  for (const file of files) cpSync(join(ROOT, file), join(folder, file))
  const packages = files.filter((file) => file.endsWith('package.json')).map(dirname)
  for (const each of packages) copyLinks(join(each, 'node_modules'), folder)
  return {
    folder,
    mutate: (name) => patch(folder, name),
    restore: (name) => patch(folder, name, '--reverse'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}

/** pnpm's links are relative: in the copy the project's own packages are the copy's. */
function copyLinks(modules: string, folder: string): void {
  const from = join(ROOT, modules)
  const to = join(folder, modules)
  if (!existsSync(from)) return
  mkdirSync(to, { recursive: true })
  for (const name of readdirSync(from)) {
    if (CACHES.has(name)) continue
    if (name === STORE) symlinkSync(join(from, name), join(to, name))
    else cpSync(join(from, name), join(to, name), { recursive: true, verbatimSymlinks: true })
  }
}

function patch(folder: string, name: string, ...flags: readonly string[]): Promise<void> {
  return applyPatch(folder, name, ...flags).catch((cause: { readonly stderr?: string }) => {
    throw new Error(
      `The patch of mutant ${name} does not fit any more. Make its mistake in today's source, and write mutants/patches/${name}.patch anew.\n${cause.stderr}`,
      { cause },
    )
  })
}

/** @throws what git says. */
export async function applyPatch(
  folder: string,
  name: string,
  ...flags: readonly string[]
): Promise<void> {
  // A repository that happens to lie above the folder is none of its business.
  const env = { ...process.env, GIT_CEILING_DIRECTORIES: dirname(folder) }
  await run('git', ['apply', ...flags, patchFile(name)], { cwd: folder, env })
}

export function patchFile(name: string): string {
  return join(PATCHES, `${name}.patch`)
}
