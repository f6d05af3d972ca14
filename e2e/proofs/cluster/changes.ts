/**
 * Changes to a cluster that can be taken back: each is written down before it is made, in a file that outlives this
 * process, so that whoever starts next can take back what was left.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import type { Operation } from '@oms/gate/pointers'
import { type Api, ApiError, type KubernetesObject, pathOf, until } from './api.ts'
import { setRuntime } from './envoy.ts'

/** How one is taken back, and whose it is. */
type Entry = { readonly owner: string } & (
  | { readonly undo: 'delete'; readonly path: string }
  /** The object as it was. */
  | { readonly undo: 'restore'; readonly object: KubernetesObject }
  | { readonly undo: 'unset'; readonly pod: KubernetesObject; readonly flags: Flags }
)

/** Of a proxy's runtime. */
type Flags = Readonly<Record<string, string>>

export interface Changes {
  /** Makes one, or takes over one of that name that an earlier run left. */
  create(object: KubernetesObject): Promise<void>
  /** @throws Error where there is no such object. */
  patch(path: string, operations: readonly Operation[]): Promise<void>
  /** Applies one that is there already, or makes it. */
  replace(object: KubernetesObject): Promise<void>
  remove(path: string): Promise<void>
  /** Sets flags of a pod's proxy, unless the owner has done so already. */
  flag(pod: KubernetesObject, flags: Flags): Promise<void>
  /** Whether the proxies' configuration is among it. */
  concernProxies(): boolean
  /** Deployments among it, as `namespace/name`. */
  deployments(): readonly string[]
  /** Takes back the owner's, the last first. @throws AggregateError of what could not be. */
  undo(): Promise<void>
}

export interface Journal {
  changesOf(owner: string): Changes
  /** Takes back everybody's. */
  undoAll(): Promise<void>
}

/** Istio's resources, what istiod reads its own configuration from, and addresses. */
const CONCERN_PROXIES = /\.istio\.io\/|\/istio-system\/configmaps\/|\/(services|endpointslices)\//

/** Whether a change at this path is pushed to proxies. */
export function concernsProxies(path: string): boolean {
  return CONCERN_PROXIES.test(path)
}

/** A conflict is with a status that was just written. */
const RESTORE_TRIES = 10

/** @param path of the file. */
export function openJournal(api: Api, path: string): Journal {
  const entries: Entry[] = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : []
  const write = (): void => writeFileSync(path, JSON.stringify(entries))
  const note = (entry: Entry): void => {
    entries.push(entry)
    write()
  }

  const forget = (entry: Entry): void => {
    entries.splice(entries.indexOf(entry), 1)
    write()
  }

  async function original(path: string): Promise<KubernetesObject> {
    const object = await api.read(path)
    if (object === undefined) throw new Error(`There is no ${path} to change.`)
    return object
  }

  async function takeBack(entry: Entry): Promise<void> {
    if (entry.undo === 'delete') return api.remove(entry.path, 0)
    if (entry.undo === 'unset') {
      const now = await api.read(pathOf(entry.pod))
      // They went with the pod.
      if (now !== undefined && isSame(now, entry.pod))
        await setRuntime(api, entry.pod, noneOf(entry.flags))
      return
    }
    // Controllers write beside us.
    for (let tries = 1; ; tries++)
      try {
        return await restore(entry.object)
      } catch (error) {
        if (!(error instanceof ApiError && error.status === 409) || tries === RESTORE_TRIES)
          throw error
      }
  }

  async function restore(object: KubernetesObject): Promise<void> {
    const now = await api.read(pathOf(object))
    if (now === undefined) {
      const { resourceVersion, uid, managedFields, generation, ...metadata } =
        object.metadata as Record<string, unknown>
      const { status, ...rest } = object
      await api.create({ ...rest, metadata } as KubernetesObject)
      return
    }
    const { metadata } = now
    const kept = {
      ...object,
      metadata: {
        ...metadata,
        labels: object.metadata.labels,
        annotations: object.metadata.annotations,
      },
    }
    await api.text(pathOf(object), { method: 'PUT', body: { ...kept, status: now['status'] } })
  }

  async function undo(isOurs: (entry: Entry) => boolean): Promise<void> {
    const failures: Error[] = []
    const ending: Entry[] = []
    for (const entry of entries.filter(isOurs).reverse()) {
      try {
        await takeBack(entry)
      } catch (error) {
        if (!isGone(error as Error)) {
          // It stays in the journal: whoever starts next tries again.
          failures.push(new Error(`${pathIn(entry)}: ${(error as Error).message}`))
          continue
        }
      }
      if (entry.undo === 'delete' && NAMESPACE.test(entry.path)) ending.push(entry)
      else forget(entry)
    }
    // Side by side; one that has not gone stays in the journal, too.
    const ends = ending.map((entry) => untilGone(api, pathIn(entry)).then(() => forget(entry)))
    for (const end of await Promise.allSettled(ends))
      if (end.status === 'rejected') failures.push(end.reason)
    if (failures.length > 0)
      throw new AggregateError(
        failures,
        `Not as it was: ${failures.map(({ message }) => message).join('; ')}`,
      )
  }

  function changesOf(owner: string): Changes {
    return {
      async create(object) {
        note({ owner, undo: 'delete', path: pathOf(object) })
        await api.apply(object)
      },
      async patch(at, operations) {
        note({ owner, undo: 'restore', object: await original(at) })
        await api.patch(at, operations)
      },
      async replace(object) {
        const before = await api.read(pathOf(object))
        note(
          before === undefined
            ? { owner, undo: 'delete', path: pathOf(object) }
            : { owner, undo: 'restore', object: before },
        )
        await api.apply(object)
      },
      async remove(at) {
        note({ owner, undo: 'restore', object: await original(at) })
        await api.remove(at)
      },
      async flag(pod, flags) {
        const known = entries.some(
          (entry) => entry.owner === owner && entry.undo === 'unset' && isSame(entry.pod, pod),
        )
        if (known) return
        const { name, namespace } = pod.metadata
        const metadata = { name, namespace, uid: uidOf(pod) } as KubernetesObject['metadata']
        note({ owner, undo: 'unset', pod: { apiVersion: 'v1', kind: 'Pod', metadata }, flags })
        await setRuntime(api, pod, flags)
      },
      concernProxies: () =>
        entries.some((entry) => entry.owner === owner && concernsProxies(pathIn(entry))),
      deployments() {
        const paths = entries.filter((entry) => entry.owner === owner).map(pathIn)
        const found = paths.flatMap((path) => {
          const [, namespace, name] = /namespaces\/([^/]+)\/deployments\/([^/]+)$/.exec(path) ?? []
          return namespace === undefined ? [] : [`${namespace}/${name}`]
        })
        return [...new Set(found)]
      },
      undo: () => undo((entry) => entry.owner === owner),
    }
  }

  return { changesOf, undoAll: () => undo(() => true) }
}

const NAMESPACE = /^\/api\/v1\/namespaces\/[^/]+$/
/** A namespace is gone once all that was in it is. */
const GONE_WITHIN_MS = 90_000

async function untilGone(api: Api, path: string): Promise<void> {
  await until(`${path} gone`, GONE_WITHIN_MS, async () =>
    (await api.read(path)) === undefined ? true : undefined,
  )
}

/** Its namespace went with it. */
function isGone(error: Error): boolean {
  return error instanceof ApiError && error.status === 404
}

/** Not one that has its name only. */
function isSame(one: KubernetesObject, other: KubernetesObject): boolean {
  return uidOf(one) === uidOf(other)
}

function uidOf({ metadata }: KubernetesObject): unknown {
  return (metadata as Record<string, unknown>)['uid']
}

function noneOf(flags: Flags): Flags {
  return Object.fromEntries(Object.keys(flags).map((name) => [name, '']))
}

function pathIn(entry: Entry): string {
  switch (entry.undo) {
    case 'delete':
      return entry.path
    case 'restore':
      return pathOf(entry.object)
    case 'unset':
      return pathOf(entry.pod)
  }
}
