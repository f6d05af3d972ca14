/** What a machine must have to build and run images, looked at first and told together. */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { exec, LabError, run } from '../command.ts'
import { CACHE_DIR, NPM, storeDir } from './stand-ins.ts'

/** Programs and keys that the Debian packages bring. */
const DEBIAN_PACKAGES = ['buildah', 'ca-certificates', 'debian-archive-keyring', 'mmdebstrap']

/** @throws LabError with everything that is missing, each with what to do. */
export async function checkMachine({ install }: { readonly install: boolean }): Promise<void> {
  refuse([
    ...(process.platform === 'linux'
      ? []
      : [
          `images run in Linux namespaces, and this is ${process.platform}: use a Linux machine or virtual machine`,
        ]),
    ...(process.getuid?.() === 0
      ? []
      : ['namespaces and mounts need root: run it as root, as with sudo -E']),
  ])
  if (install) await installPackages(await missingPackages())
  const packages = await missingPackages()
  refuse([
    ...(packages.length === 0
      ? []
      : [
          `Debian packages are missing: apt-get install --no-install-recommends ${packages.join(' ')}, or pnpm verify:images --install`,
        ]),
    ...(await overlayProblems()),
    ...(packages.length === 0 && existsSync(storeDir()) ? [] : await networkProblems()),
  ])
}

function refuse(problems: readonly string[]): void {
  if (problems.length > 0)
    throw new LabError(
      `not run: this machine cannot build and run images yet.\n${problems.map((each) => `- ${each}`).join('\n')}`,
    )
}

async function missingPackages(): Promise<readonly string[]> {
  // dpkg's own form, not a template.
  const format = `--showformat=\${Package} \${db:Status-Status}\n`
  const { stdout } = await exec('dpkg-query', ['--show', format, ...DEBIAN_PACKAGES])
  return DEBIAN_PACKAGES.filter((name) => !stdout.split('\n').includes(`${name} installed`))
}

async function installPackages(packages: readonly string[]): Promise<void> {
  if (packages.length === 0) return
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  await run('apt-get', ['update', '-q'], { env })
  await run('apt-get', ['install', '-q', '-y', '--no-install-recommends', ...packages], { env })
}

/** The store's layers lie on each other; an overlay cannot lie on an overlay, as in most containers. */
async function overlayProblems(): Promise<readonly string[]> {
  mkdirSync(CACHE_DIR, { recursive: true })
  const folder = mkdtempSync(join(CACHE_DIR, 'overlay-'))
  const script =
    'cd "$1" && mkdir l u w m && mount -t overlay -o lowerdir=l,upperdir=u,workdir=w overlay m'
  const { code } = await exec('unshare', [
    '--mount',
    '--propagation',
    'private',
    'sh',
    '-c',
    script,
    'sh',
    folder,
  ])
  rmSync(folder, { recursive: true })
  return code === 0
    ? []
    : [
        `overlayfs cannot be used on ${CACHE_DIR}: set XDG_CACHE_HOME to a folder on a disk of its own (ext4, xfs)`,
      ]
}

async function networkProblems(): Promise<readonly string[]> {
  const { code, stderr } = await exec('npm', [
    'view',
    NPM,
    'version',
    '--fetch-retries=0',
    '--fetch-timeout=20000',
  ])
  return code === 0
    ? []
    : [
        `npm's registry does not answer; check the network and npm's settings (${stderr.trim().split('\n')[0]})`,
      ]
}
