/** From nothing to the product on its mesh: tools → images → node → mesh → product. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { writeComponents } from './apply.ts'
import { LabError } from './command.ts'
import { CACHE_DIR } from './folders.ts'
import { infrastructureArchives } from './images/infrastructure.ts'
import { productImages } from './images/product.ts'
import { prepareBases } from './images/stand-ins.ts'
import { createKubectl, writeKubeconfig } from './kubectl.ts'
import { type Lab, runningLab, startLab } from './lab.ts'
import { checkMachine } from './preconditions.ts'
import { installMesh, installProduct, renderProduct, type Tags, writeTags } from './product.ts'
import { say, step } from './progress.ts'
import { copyStore, pristineStore } from './store.ts'
import { buildTools, cachedTools, type Tools } from './tools.ts'

export interface Built {
  readonly tools: Tools
  readonly tags: Tags
  /** An image store that has everything, never used. */
  readonly store: string
}

/** What a start needs, made where it is missing. @throws LabError with all that this machine lacks. */
export async function build({ install = false }: { readonly install?: boolean }): Promise<Built> {
  await checkMachine({ build: cachedTools() === undefined, install })
  const tools = await buildTools({
    start: ({ name, minutes }) =>
      say(`          building ${name}: about ${minutes} min on two cores, once`),
    compiled: ({ name }, packages) => say(`          ${name}: ${packages} packages compiled`),
    done: ({ name }, seconds) => step(`tools: ${name}, in ${seconds.toFixed(0)} s`),
  })
  const bases = await prepareBases(step)
  const images = join(CACHE_DIR, 'images')
  mkdirSync(images, { recursive: true })
  const infrastructure = await infrastructureArchives(bases.store, tools, images, step)
  const product = await productImages(bases, images)
  step('tools and images are there')
  const stores = { cacheDir: CACHE_DIR, step }
  const from = await pristineStore({ ...stores, kind: 'node', archives: infrastructure })
  const store = await pristineStore({ ...stores, kind: 'product', archives: product, from })
  const tags = Object.fromEntries(product.map(({ image, tag }) => [image, tag]))
  return { tools, tags, store }
}

export interface UpOptions {
  readonly install?: boolean
  readonly portOffset?: number
}

/** @throws LabError naming the log to read. */
export async function up({ install = false, portOffset = 0 }: UpOptions): Promise<Lab> {
  if (runningLab() !== undefined)
    throw new LabError('The lab is up already. Use it, or end it first: pnpm lab down')
  const { tools, tags, store } = await build({ install })
  const rendering = renderProduct(tools)
  // Awaited once the node is there; until then its failure has nobody to tell.
  rendering.catch(() => undefined)
  const { lab, keep } = await startLab({
    toolsDir: tools.dirOf('kubernetes'),
    portOffset,
    fill: (stateDir) => copyStore(store, join(stateDir, 'var-lib/containerd')),
    onStep: step,
  })
  try {
    writeKubeconfig(lab)
    writeTags(tags)
    writeComponents([])
    const kubectl = createKubectl(tools.program('kubernetes', 'kubectl'))
    const options = { kubectl, rendered: await rendering, tags, step }
    await installMesh(options)
    await installProduct(options)
    await keep()
    return lab
  } catch (error) {
    if (!(error instanceof LabError)) throw error
    // Its pods and logs are the evidence.
    await keep()
    throw new LabError(`${error.message}\nThe lab is up, for you to look; its end: pnpm lab down`)
  }
}
