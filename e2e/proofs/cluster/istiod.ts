/** When a change of configuration has reached the proxies. */
import { type Api, type KubernetesObject, until, untilEnough } from './api.ts'
import { type Forward, forwardPort } from './envoy.ts'
import { SYSTEM } from './names.ts'
import { podsOf } from './pods.ts'

const MONITORING_PORT = 15_014
/** A push is due 0.1 s after the last change and 10 s after the first. */
const PUSHED_WITHIN_MS = 15_000
/** A change that concerns no proxy comes to its ears never; others within some milliseconds. */
const HEARD_WITHIN_MS = 3000
/** Longer than from a proxy's turn to the end of its push. */
const UNCONCERNED_MS = 1500
/**
 * Longer than istiod waits for more changes, and than it takes from one proxy to the next. Where processors are short all
 * takes longer: nothing must have come for as long as the push has taken so far.
 */
const QUIET_MS = 250

/** A proxy that refuses what it was sent never takes it. */
const TAKEN_WITHIN_MS = 5000
/** What a proxy is sent and answers for. */
const KINDS = ['cluster', 'listener', 'route', 'endpoint'] as const
type SyncStatus = Readonly<Record<string, string | undefined>>

export interface Istiod {
  /** Sum of a metric over its replicas; 0 where it was never touched. @param pattern matches name and labels. */
  metric(pattern: RegExp): Promise<number>
  /** Proxy, as `pod.namespace` → name of the replica that it has its stream to. */
  streams(): Promise<ReadonlyMap<string, string>>
  /**
   * Resolves once what `change` did has been pushed to every proxy that it concerns, and they have taken it.
   * @throws NoPushError where that is none.
   */
  pushed(change: () => Promise<unknown>): Promise<void>
}

/** What was changed concerns no proxy. */
export class NoPushError extends Error {}

interface Said {
  /** Name of its pod. */
  readonly replica: string
  /** Empty where it has died. */
  readonly text: string
}

/** Of all replicas together. */
interface Pushes {
  /** Changes of any kind that it was told of. */
  readonly heard: number
  /** Proxies whose turn has come, also of those whom a change does not concern. */
  readonly taken: number
  /** To proxies whom it concerns. */
  readonly made: number
  /** That are connected. */
  readonly proxies: number
}

function sumOf(lines: readonly string[], pattern: RegExp): number {
  return lines
    .filter((line) => pattern.test(line))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

export function createIstiod(api: Api): Istiod {
  const forwards = new Map<string, Promise<Forward>>()

  async function pods(): Promise<readonly KubernetesObject[]> {
    return podsOf(api, SYSTEM, 'app=istiod')
  }

  /** Nothing of one that has died. */
  async function ask(pod: KubernetesObject, path: string): Promise<string> {
    const { name } = pod.metadata
    const known = forwards.get(name) ?? forwardPort(api, pod, MONITORING_PORT)
    forwards.set(name, known)
    return (await known).ask(path).catch(() => '')
  }

  /** Of each replica. */
  async function askAll(path: string): Promise<readonly Said[]> {
    return Promise.all(
      (await pods()).map(async (pod) => ({
        replica: pod.metadata.name,
        text: await ask(pod, path),
      })),
    )
  }

  async function metrics(): Promise<readonly string[]> {
    const lines = (await askAll('/metrics')).flatMap(({ text }) => text.split('\n'))
    return lines.filter((line) => !line.startsWith('#'))
  }

  async function metric(pattern: RegExp): Promise<number> {
    return sumOf(await metrics(), pattern)
  }

  async function streams(): Promise<ReadonlyMap<string, string>> {
    const found = (await askAll('/debug/connections')).flatMap(({ replica, text }) =>
      [...text.matchAll(/"connectionId":"([^"]+)-\d+"/g)].map(([, proxy]): [string, string] => [
        proxy as string,
        replica,
      ]),
    )
    return new Map(found)
  }

  async function pushes(): Promise<Pushes> {
    const lines = await metrics()
    return {
      heard: sumOf(lines, /^pilot_inbound_updates/),
      taken: sumOf(lines, /^pilot_proxy_queue_time_count/),
      made: sumOf(lines, /^pilot_proxy_convergence_time_count/),
      proxies: sumOf(lines, /^pilot_xds\{/),
    }
  }

  /** Whether every proxy has taken what it was sent. */
  async function areSynced(): Promise<boolean> {
    const proxies = (await askAll('/debug/syncz')).flatMap(({ text }): readonly SyncStatus[] =>
      text.startsWith('[') ? JSON.parse(text) : [],
    )
    return proxies.every((proxy) =>
      KINDS.every((kind) => proxy[`${kind}_sent`] === proxy[`${kind}_acked`]),
    )
  }

  async function pushed(change: () => Promise<unknown>): Promise<void> {
    const before = await pushes()
    await change()
    const changedAt = performance.now()
    let last = before
    let begun: number | undefined
    let since = changedAt
    await until(
      'the change pushed to the proxies',
      PUSHED_WITHIN_MS,
      async () => {
        const now = await pushes()
        if (now.made !== last.made || now.taken !== last.taken) since = performance.now()
        last = now
        if (now.heard === before.heard && performance.now() - changedAt > HEARD_WITHIN_MS)
          throw new NoPushError('istiod has heard of no change')
        if (now.taken > before.taken) begun ??= since
        const isTaken = now.taken - before.taken >= now.proxies
        const quietMs = performance.now() - since
        if (now.made === before.made && isTaken && quietMs > UNCONCERNED_MS)
          throw new NoPushError('no proxy is concerned')
        const isOver = isTaken && now.made > before.made
        return isOver && quietMs > Math.max(QUIET_MS, since - (begun ?? since)) ? true : undefined
      },
      50,
    )
    // One that refuses what it was sent never takes it: a proof says so.
    await untilEnough(TAKEN_WITHIN_MS, areSynced, (synced) => synced)
  }

  return { metric, streams, pushed }
}
