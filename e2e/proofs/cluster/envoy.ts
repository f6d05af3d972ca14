/** A pod's Envoy, read by its administration port: a port-forward that lives as long as the pod. */
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { Writable } from 'node:stream'
import { PortForward } from '@kubernetes/client-node'
import type { Api, KubernetesObject } from './api.ts'

const ADMIN_PORT = 15_000

/** Counters and gauges; one that was never touched is absent and reads 0. */
export interface Stats {
  of(name: string): number
  /** Sum over the names that match. */
  sum(pattern: RegExp): number
  readonly names: readonly string[]
}

export interface Envoy {
  readonly pod: string
  /** @param path as `/clusters`. */
  get(path: string): Promise<string>
  stats(): Promise<Stats>
  /** What `work` adds to the counters. */
  during<T>(work: () => Promise<T>): Promise<{ readonly value: T; readonly added: Stats }>
  close(): Promise<void>
}

/** Runtime flags of a proxy until it ends; one that is empty is as it was. @throws Error where it takes none. */
export async function setRuntime(
  api: Api,
  pod: KubernetesObject,
  flags: Readonly<Record<string, string>>,
): Promise<void> {
  const { ask, close } = await forwardPort(api, pod, ADMIN_PORT)
  try {
    const said = await ask(`/runtime_modify?${new URLSearchParams(flags)}`, 'POST')
    if (said.trim() !== 'OK') throw new Error(`${pod.metadata.name}: runtime_modify: ${said}`)
  } finally {
    await close()
  }
}

export async function openEnvoy(api: Api, pod: KubernetesObject): Promise<Envoy> {
  const { ask, close } = await forwardPort(api, pod, ADMIN_PORT)
  // All of them, with those that were never touched, are thousands.
  const stats = async (): Promise<Stats> => statsIn(await ask('/stats?usedonly'))
  return { pod: pod.metadata.name, get: (path) => ask(path), stats, during: duringOf(stats), close }
}

/** Those of one workload as if they were one: which of them a request takes is nobody's choice. `get` asks the first. */
export function together(envoys: readonly [Envoy, ...Envoy[]]): Envoy {
  const [first] = envoys
  async function stats(): Promise<Stats> {
    const all = await Promise.all(envoys.map((each) => each.stats()))
    const sum = (read: (stats: Stats) => number): number =>
      all.reduce((total, each) => total + read(each), 0)
    return {
      of: (name) => sum((each) => each.of(name)),
      sum: (pattern) => sum((each) => each.sum(pattern)),
      names: [...new Set(all.flatMap(({ names }) => names))],
    }
  }
  return {
    pod: envoys.map(({ pod }) => pod).join(', '),
    get: first.get,
    stats,
    during: duringOf(stats),
    async close() {
      await Promise.all(envoys.map((each) => each.close()))
    },
  }
}

function duringOf(stats: () => Promise<Stats>): Envoy['during'] {
  return async function during<T>(work: () => Promise<T>) {
    const before = await stats()
    const value = await work()
    const after = await stats()
    const difference = (name: string): number => after.of(name) - before.of(name)
    return {
      value,
      added: {
        of: difference,
        sum: (pattern: RegExp) =>
          after.names
            .filter((name) => pattern.test(name))
            .reduce((all, name) => all + difference(name), 0),
        names: after.names,
      },
    }
  }
}

function statsIn(text: string): Stats {
  const values = new Map(
    text.split('\n').flatMap((line): [string, number][] => {
      const at = line.lastIndexOf(': ')
      const value = Number(line.slice(at + 2))
      return at > 0 && Number.isFinite(value) ? [[line.slice(0, at), value]] : []
    }),
  )
  const names = [...values.keys()]
  const of = (name: string): number => values.get(name) ?? 0
  return {
    of,
    sum: (pattern) =>
      names.filter((name) => pattern.test(name)).reduce((all, name) => all + of(name), 0),
    names,
  }
}

export interface Forward {
  readonly port: number
  /** The body, whatever the status. @param method default: GET. */
  ask(path: string, method?: 'GET' | 'POST'): Promise<string>
  close(): Promise<void>
}

/** A port on 127.0.0.1 that leads to a port of the pod's own loopback or address. */
export async function forwardPort(
  api: Api,
  { metadata: { name, namespace } }: KubernetesObject,
  target: number,
): Promise<Forward> {
  const forwarding = new PortForward(api.config)
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    // What comes here is a refusal: of a program that does not listen yet nobody waits for an answer.
    const refused = new Writable({
      write(said, _, done) {
        if (said.length > 0) socket.destroy()
        done()
      },
    })
    forwarding.portForward(namespace as string, name, [target], socket, refused, socket).then(
      (opened) => {
        const webSocket = typeof opened === 'function' ? opened() : opened
        socket.on('close', () => webSocket?.close())
        // The pod has gone: a connection that is kept would wait for an answer until its time is up.
        webSocket?.on('close', () => socket.destroy())
      },
      () => socket.destroy(),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const agent = new Agent({ keepAlive: true, maxSockets: 2 })
  return {
    port,
    ask: (path, method = 'GET') => ask({ port, path, method, agent, of: name }),
    async close() {
      agent.destroy()
      server.close()
    },
  }
}

interface Asking {
  readonly port: number
  readonly path: string
  readonly method: 'GET' | 'POST'
  readonly agent: Agent
  readonly of: string
}

function ask({ of, ...target }: Asking): Promise<string> {
  return new Promise((resolve, reject) => {
    const asking = request({ ...target, host: '127.0.0.1', timeout: 10_000 }, (answer) => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('error', reject)
      answer.on('end', () => resolve(Buffer.concat(chunks).toString('utf8')))
    })
    asking.on('timeout', () =>
      asking.destroy(new Error(`${of}: no answer to ${target.path} in 10 s`)),
    )
    asking.on('error', reject)
    asking.end()
  })
}
