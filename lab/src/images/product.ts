/** The product's images for the lab: built by its own Dockerfile, tagged by what is in them. */
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { imageName } from '../product.ts'
import { buildImage, type ImageName, PACKAGES } from './build.ts'
import { type Archive, archive } from './infrastructure.ts'
import type { Bases } from './stand-ins.ts'

/** Those that run in the lab; the others are for `docker compose`. */
export const LAB_IMAGES = [
  'order-service',
  'payment-service',
  'inventory-service',
  'card-processor',
] as const satisfies readonly ImageName[]

export interface ProductImage extends Archive {
  readonly image: ImageName
  readonly tag: string
}

/** An archive of each in `cacheDir`; what has not changed is neither built nor written again. */
export async function productImages(
  bases: Bases,
  cacheDir: string,
  images: readonly ImageName[] = LAB_IMAGES,
): Promise<readonly ProductImage[]> {
  mkdirSync(cacheDir, { recursive: true })
  async function one(image: ImageName): Promise<ProductImage> {
    const { id } = await buildImage(bases, `localhost/${image}`, { PACKAGE: PACKAGES[image] })
    const tag = id.slice(0, 12)
    const name = imageName(image, tag)
    const file = join(cacheDir, `${image}-${tag}.tar`)
    if (!existsSync(file)) {
      await bases.store.buildah('tag', `localhost/${image}`, name)
      await archive(bases.store, name, file)
    }
    return { image, tag, name, key: tag, file }
  }
  // Their first steps are the same. Built at once, each would make its own, and the next build would take another's.
  const [first, ...others] = images
  if (first === undefined) return []
  return [await one(first), ...(await Promise.all(others.map(one)))]
}
