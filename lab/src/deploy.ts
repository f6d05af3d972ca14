/** `pnpm lab deploy SERVICE`: the working tree's service in place of the one that runs. */
import { join } from 'node:path'
import { readComponents } from './apply.ts'
import { LabError, run } from './command.ts'
import { CACHE_DIR } from './folders.ts'
import { LAB_IMAGES, productImages } from './images/product.ts'
import { prepareBases } from './images/stand-ins.ts'
import { createKubectl } from './kubectl.ts'
import { insideOf, type Lab } from './lab.ts'
import { objectsOf, ROLLED_OUT_WITHIN_MS, readTags, renderProduct, writeTags } from './product.ts'
import { step } from './progress.ts'
import { requireTools } from './tools.ts'

/** @param service `order` or `order-service`. @throws LabError naming the pods that do not get ready, and why. */
export async function deploy(lab: Lab, service: string): Promise<void> {
  const image = LAB_IMAGES.find((name) => name === service || name === `${service}-service`)
  if (image === undefined)
    throw new LabError(`There is no service ${service}; there are ${LAB_IMAGES.join(', ')}.`)
  const tools = requireTools()
  const [built] = await productImages(await prepareBases(step), join(CACHE_DIR, 'images'), [image])
  if (built === undefined) throw new LabError(`${image} was not built.`)
  const tags = { ...readTags(), [image]: built.tag }
  step(`image ${built.name}`)
  // The archive is read here, where the cache is; the lab's mounts hide some of the host's folders.
  const ctr = ['ctr', '-n', 'k8s.io', 'images', 'import', '/dev/stdin']
  await run('sh', ['-c', 'exec nsenter "$@" <"$0"', built.file, ...insideOf(lab), ...ctr])
  step('imported')

  const kubectl = createKubectl(tools.program('kubernetes', 'kubectl'))
  const namespace = image === 'card-processor' ? image : 'order-management'
  // The template of a Job is immutable: a new release replaces it.
  await kubectl('-n', namespace, 'delete', 'job', `${image}-migrate`, '--ignore-not-found')
  const own = objectsOf(await renderProduct(tools, readComponents()), 'apps', tags).filter(
    ({ metadata: { name } }) => name === image || name === `${image}-migrate`,
  )
  await kubectl.apply(own)
  writeTags(tags)
  await kubectl.untilRolledOut(namespace, ROLLED_OUT_WITHIN_MS)
  step(`${image} ${built.tag} runs`)
}
