/** When a change of configuration has reached the proxies. */
import { type Api, type KubernetesObject, until } from './api.ts'
import { type Forward, forwardPort } from './envoy.ts'
import { SYSTEM } from './names.ts'
import { podsOf } from './pods.ts'

const MONITORING_PORT = 15_014
/** A push is due 0.1 s after the last change and 10 s after the first. */
const PUSHED_WITHIN_MS = 15_000
/** Longer than istiod waits for more changes, and than it pauses between two proxies where processors are short. */
const QUIET_MS = 1000

export interface Istiod {
  /** Sum of a metric over its replicas; 0 where it was never touched. @param pattern matches name and labels. */
  metric(pattern: RegExp): Promise<number>
  /** Name of the replica that a pod's proxy has its stream to. */
  serving(pod: string): Promise<string | undefined>
  /** Resolves once what `change` did has been pushed to every proxy that it concerns. */
  pushed(change: () => Promise<unknown>): Promise<void>
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

  async function metric(pattern: RegExp): Promise<number> {
    const texts = await Promise.all((await pods()).map((pod) => ask(pod, '/metrics')))
    return texts
      .flatMap((text) => text.split('\n'))
      .filter((line) => !line.startsWith('#') && pattern.test(line))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
  }

  async function serving(pod: string): Promise<string | undefined> {
    for (const replica of await pods()) {
      const said = await ask(replica, '/debug/connections')
      if (said.includes(`"connectionId":"${pod}.`)) return replica.metadata.name
    }
    return undefined
  }

  async function pushed(change: () => Promise<unknown>): Promise<void> {
    const read = (): Promise<number> => metric(/^pilot_proxy_convergence_time_count/)
    const before = await read()
    await change()
    let last = before
    let since = performance.now()
    await until(
      'the change pushed to the proxies',
      PUSHED_WITHIN_MS,
      async () => {
        const now = await read()
        if (now !== last) since = performance.now()
        last = now
        return now > before && performance.now() - since > QUIET_MS ? true : undefined
      },
      100,
    )
  }

  return { metric, serving, pushed }
}
