/** The bundles, built where a source is newer than they are. */
import { execFile } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { StartError } from '@oms/chassis/embedded-postgres'

const PROGRAMS = ['services/order', 'services/payment', 'services/inventory', 'processor', 'audit']
/** What goes into every bundle beside its own folder. */
const SHARED = ['packages', 'tsup.config.ts', 'pnpm-lock.yaml']
const NOT_SOURCES = new Set(['node_modules', 'dist', '.types', 'test'])

/** @throws StartError with the bundler's words. */
export async function buildBundles(root: string): Promise<void> {
  const shared = Math.max(...SHARED.map((path) => newest(join(root, path))))
  const stale = PROGRAMS.filter((program) => {
    const folder = join(root, program)
    return Math.max(shared, newest(folder)) > built(folder)
  })
  await Promise.all(stale.map((program) => build(root, program)))
}

function built(folder: string): number {
  return statSync(join(folder, 'dist/main.mjs'), { throwIfNoEntry: false })?.mtimeMs ?? 0
}

/** Milliseconds since 1970 of the youngest file below. */
function newest(path: string): number {
  const stat = statSync(path)
  if (!stat.isDirectory()) return stat.mtimeMs
  const inside = readdirSync(path).filter((name) => !NOT_SOURCES.has(name))
  return Math.max(0, ...inside.map((name) => newest(join(path, name))))
}

async function build(root: string, program: string): Promise<void> {
  const tsup = join(root, 'node_modules/tsup/dist/cli-default.js')
  const config = join(root, 'tsup.config.ts')
  try {
    await promisify(execFile)(process.execPath, [tsup, '--config', config], {
      cwd: join(root, program),
    })
  } catch (cause) {
    const { stdout, stderr } = cause as { stdout: string; stderr: string }
    throw new StartError(`${program} could not be built:\n${stdout}${stderr}`, { cause })
  }
}

if (import.meta.main) await buildBundles(resolve(import.meta.dirname, '..'))
