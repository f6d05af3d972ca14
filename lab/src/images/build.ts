/** The product's images, built from its own Dockerfile as it is. */
import { LabError } from '../command.ts'
import { ROOT } from '../folders.ts'
import type { Bases } from './stand-ins.ts'
import { type ImageStore, inspect } from './store.ts'

/** Image → the Dockerfile's PACKAGE. */
export const PACKAGES = {
  'order-service': 'services/order',
  'payment-service': 'services/payment',
  'inventory-service': 'services/inventory',
  'card-processor': 'processor',
  'oms-provision': 'provision',
  'oms-audit': 'audit',
} as const
export type ImageName = keyof typeof PACKAGES

export interface BuiltImage {
  readonly id: string
  /** What it adds to its base. */
  readonly ownBytes: number
  /** The images that the build's steps left, short ids; the next build starts from them. */
  readonly steps: readonly string[]
}

/**
 * Builds what is not built yet: buildah keeps every step whose inputs have not changed.
 * @throws LabError with what the build said last.
 */
export async function buildImage(
  { store, runtime }: Bases,
  name: string,
  buildArguments: Readonly<Record<string, string>>,
): Promise<BuiltImage> {
  const given = Object.entries(buildArguments).flatMap(([key, value]) => [
    '--build-arg',
    `${key}=${value}`,
  ])
  const options = ['--isolation', 'chroot', '--pull-never', '--layers', '--force-rm', '--tag', name]
  const output = await store.buildah('build', ...options, ...given, ROOT)
  // Its last line; by now the name may be another checkout's.
  const id = output.trim().split('\n').at(-1) as string
  const [image, base] = await Promise.all([inspect(store, id), inspect(store, runtime)])
  if (base.layers.some(({ digest }, index) => image.layers[index]?.digest !== digest))
    throw new LabError(`${name} is not built on ${runtime}; see RUNTIME_IMAGE in the Dockerfile.`)
  const own = image.layers.slice(base.layers.length)
  return {
    id,
    ownBytes: own.reduce((sum, { bytes }) => sum + bytes, 0),
    steps: [...output.matchAll(/^--> ([0-9a-f]{11})$/gm)].map(([, id]) => id as string),
  }
}

/** An hour: what is younger may be another checkout's, which builds just now. */
const OLD_AFTER_MS = 3_600_000

/** Removes the steps of earlier builds that these did not start from: each state of the lockfile is most of a gigabyte. */
export async function removeOldSteps(
  store: ImageStore,
  kept: readonly BuiltImage[],
): Promise<void> {
  const used = new Set(kept.flatMap(({ steps }) => steps))
  const images = JSON.parse(await store.buildah('images', '--all', '--json')) as Listed[]
  const old = images
    .filter(({ id, names }) => names === null && !used.has(id.slice(0, 11)))
    .filter(({ created }) => Date.now() - created * 1000 > OLD_AFTER_MS)
    .sort((a, b) => b.created - a.created)
  // One that a younger step stands on stays.
  for (const { id } of old) await store.buildah('rmi', id).catch(() => undefined)
}

interface Listed {
  readonly id: string
  readonly names: readonly string[] | null
  /** Seconds since 1970. */
  readonly created: number
}
