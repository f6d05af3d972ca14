/** What a machine must have to build and run images, looked at first and told together. */
import { existsSync } from 'node:fs'
import { exec, LabError } from '../command.ts'
import { CACHE_DIR } from '../folders.ts'
import { overlayProblems, packageProblems } from '../machine.ts'
import { NPM, storeDir } from './stand-ins.ts'

/** Programs and keys that the Debian packages bring. */
const DEBIAN_PACKAGES = ['buildah', 'ca-certificates', 'debian-archive-keyring', 'mmdebstrap']
const OTHER_DISK = 'set XDG_CACHE_HOME to a folder on a disk of its own (ext4, xfs)'

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
  const packages = await packageProblems(DEBIAN_PACKAGES, 'pnpm verify:images', install)
  refuse([
    ...packages,
    ...(await overlayProblems(CACHE_DIR, OTHER_DISK)),
    ...(packages.length === 0 && existsSync(storeDir()) ? [] : await networkProblems()),
  ])
}

function refuse(problems: readonly string[]): void {
  if (problems.length > 0)
    throw new LabError(
      `not run: this machine cannot build and run images yet.\n${problems.map((each) => `- ${each}`).join('\n')}`,
    )
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
