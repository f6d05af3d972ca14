/**
 * A lab's pods live below a cgroup of its own, named after the process that everything in it dies with. Linux keeps the
 * folders of dead cgroups until somebody removes them: the next `up` or `down` does.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const MOUNT = '/sys/fs/cgroup'
const PREFIX = 'order-management-lab-'

/** The kubelet's `cgroupRoot` of the lab that dies with process `pid`. */
export function cgroupRootOf(pid: number): string {
  return `/${PREFIX}${pid}`
}

/** Version 2 has one tree, version 1 a tree a controller, and often one of version 2 without any. */
function trees(): readonly string[] {
  if (existsSync(join(MOUNT, 'cgroup.controllers'))) return [MOUNT]
  return readdirSync(MOUNT, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join(MOUNT, name))
}

/** @param root as `cgroupRootOf` gives it. */
export function createCgroups(root: string): void {
  for (const tree of trees()) {
    const dir = join(tree, root)
    mkdirSync(dir, { recursive: true })
    // A new cpuset of version 1 has neither processors nor memory.
    for (const file of ['cpuset.cpus', 'cpuset.mems'])
      if (existsSync(join(dir, file)) && !existsSync(join(tree, 'cgroup.controllers')))
        writeFileSync(join(dir, file), readFileSync(join(tree, file), 'utf8').trim())
  }
  enableControllers(root)
}

/** Version 2: children of a cgroup have the controllers that its parent hands down. */
function enableControllers(root: string): void {
  const file = join(MOUNT, 'cgroup.controllers')
  if (!existsSync(file)) return
  const all = readFileSync(file, 'utf8').trim().split(' ')
  const down = all.map((controller) => `+${controller}`).join(' ')
  for (const dir of [MOUNT, join(MOUNT, root)])
    writeFileSync(join(dir, 'cgroup.subtree_control'), down)
}

/** Removes the empty cgroups of labs whose process is gone. Others, of whichever checkout, stay. */
export function removeDeadCgroups(isAlive: (pid: number) => boolean): void {
  for (const tree of trees())
    for (const name of readdirSync(tree)) {
      const pid = name.startsWith(PREFIX) ? Number(name.slice(PREFIX.length)) : Number.NaN
      if (Number.isInteger(pid) && !isAlive(pid)) removeTree(join(tree, name))
    }
}

function removeTree(dir: string): void {
  for (const entry of readdirSync(dir, { withFileTypes: true }))
    if (entry.isDirectory()) removeTree(join(dir, entry.name))
  rmdirSync(dir)
}
