/** Questions to a machine that several programs here ask before they begin; each answer says what to do. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { exec, run } from './command.ts'

/** @param command that installs them, too. @param install whether to do so now. */
export async function packageProblems(
  packages: readonly string[],
  command: string,
  install: boolean,
): Promise<readonly string[]> {
  if (install) await installPackages(await missingPackages(packages))
  const missing = await missingPackages(packages)
  return missing.length === 0
    ? []
    : [
        `Debian packages are missing: apt-get install --no-install-recommends ${missing.join(' ')}, or ${command} --install`,
      ]
}

async function missingPackages(packages: readonly string[]): Promise<readonly string[]> {
  // dpkg's own form, not a template.
  const format = `--showformat=\${Package} \${db:Status-Status}\n`
  const { stdout } = await exec('dpkg-query', ['--show', format, ...packages])
  return packages.filter((name) => !stdout.split('\n').includes(`${name} installed`))
}

async function installPackages(packages: readonly string[]): Promise<void> {
  if (packages.length === 0) return
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  await run('apt-get', ['update', '-q'], { env })
  await run('apt-get', ['install', '-q', '-y', '--no-install-recommends', ...packages], { env })
}

/** Layers of images lie on each other; an overlay cannot lie on an overlay, as in most containers. */
export async function overlayProblems(dir: string, remedy: string): Promise<readonly string[]> {
  mkdirSync(dir, { recursive: true })
  const folder = mkdtempSync(join(dir, 'overlay-'))
  const script =
    'cd "$1" && mkdir l u w m && mount -t overlay -o lowerdir=l,upperdir=u,workdir=w overlay m'
  const own = ['--mount', '--propagation', 'private']
  const { code } = await exec('unshare', [...own, 'sh', '-c', script, 'sh', folder])
  rmSync(folder, { recursive: true })
  return code === 0 ? [] : [`overlayfs cannot be used on ${dir}: ${remedy}`]
}
