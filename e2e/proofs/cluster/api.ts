/** The Kubernetes API of one context of a kubeconfig: objects as JSON, by plain HTTP requests. */
import { Agent, type RequestOptions, request } from 'node:https'
import { setTimeout as pause } from 'node:timers/promises'
import { KubeConfig } from '@kubernetes/client-node'
import type { Operation } from '@oms/gate/pointers'
import type { KubernetesObject } from '@oms/lab/kubectl'

export type { KubernetesObject } from '@oms/lab/kubectl'

/** What the API server said, with its HTTP status. */
export class ApiError extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

export interface Ask {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly body?: unknown
  readonly contentType?: string
  /** Default: 20 s. */
  readonly timeoutMs?: number
}

export interface Api {
  readonly config: KubeConfig
  /** @throws ApiError where the API server refuses. */
  text(path: string, ask?: Ask): Promise<string>
  read(path: string): Promise<KubernetesObject | undefined>
  /** @param path of a collection, with its query. */
  list(path: string): Promise<readonly KubernetesObject[]>
  /** Server-side, taking over what others own. Resolves with the object as it is then. */
  apply(object: KubernetesObject, query?: string): Promise<KubernetesObject>
  create(object: KubernetesObject): Promise<KubernetesObject>
  patch(path: string, operations: readonly Operation[], query?: string): Promise<KubernetesObject>
  /** One that is gone already does not count. @param graceSeconds default: as the object says. */
  remove(path: string, graceSeconds?: number): Promise<void>
}

const FIELD_MANAGER = 'fieldManager=order-management-proofs'
/** Longer than a webhook may take. */
const TIMEOUT_MS = 20_000

export function createApi(context: string | undefined, file: string | undefined): Api {
  const config = new KubeConfig()
  if (file === undefined) config.loadFromDefault()
  else config.loadFromFile(file)
  if (context !== undefined) config.setCurrentContext(context)
  // A way through a proxy is the library's own.
  const kept = config.getCurrentCluster()?.proxyUrl ? {} : { agent: keptConnections() }

  async function text(
    path: string,
    { method = 'GET', body, contentType = 'application/json', timeoutMs = TIMEOUT_MS }: Ask = {},
  ): Promise<string> {
    const url = new URL(`${config.getCurrentCluster()?.server}${path}`)
    const options: RequestOptions = { method, timeout: timeoutMs }
    await config.applyToHTTPSOptions(options)
    const sent = body === undefined ? undefined : JSON.stringify(body)
    return new Promise((resolve, reject) => {
      const asking = request(
        url,
        {
          ...options,
          ...kept,
          headers: {
            ...options.headers,
            accept: 'application/json, */*',
            ...(sent === undefined ? {} : { 'content-type': contentType }),
          },
        },
        (answer) => {
          const chunks: Buffer[] = []
          answer.on('data', (chunk: Buffer) => chunks.push(chunk))
          answer.on('error', reject)
          answer.on('end', () => {
            const said = Buffer.concat(chunks).toString('utf8')
            const status = answer.statusCode ?? 0
            if (status < 400) resolve(said)
            else reject(new ApiError(status, messageOf(said) ?? `${method} ${path}: ${status}`))
          })
        },
      )
      asking.on('timeout', () =>
        asking.destroy(new Error(`${method} ${path}: no answer in ${timeoutMs / 1000} s`)),
      )
      asking.on('error', reject)
      asking.end(sent)
    })
  }

  const json = async (path: string, ask?: Ask): Promise<KubernetesObject> =>
    JSON.parse(await text(path, ask))

  async function read(path: string): Promise<KubernetesObject | undefined> {
    try {
      return await json(path)
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return undefined
      throw error
    }
  }

  async function remove(path: string, graceSeconds?: number): Promise<void> {
    const grace = graceSeconds === undefined ? '' : `&gracePeriodSeconds=${graceSeconds}`
    try {
      await text(`${path}?propagationPolicy=Background${grace}`, { method: 'DELETE' })
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 404)) throw error
    }
  }

  return {
    config,
    text,
    read,
    remove,
    async list(path) {
      const { apiVersion, kind, items } = await json(path)
      // A list leaves both out of what it lists.
      return items.map((item: object) =>
        Object.assign({ apiVersion, kind: kind.replace(/List$/, '') }, item),
      )
    },
    apply(object, query = '') {
      return json(`${pathOf(object)}?${FIELD_MANAGER}&force=true${query}`, {
        method: 'PATCH',
        body: object,
        contentType: 'application/apply-patch+yaml',
      })
    },
    create(object) {
      return json(`${collectionOf(object)}?${FIELD_MANAGER}`, { method: 'POST', body: object })
    },
    patch(path, operations, query = '') {
      return json(`${path}?${FIELD_MANAGER}${query}`, {
        method: 'PATCH',
        body: operations,
        contentType: 'application/json-patch+json',
      })
    },
  }
}

/** API servers close one that was idle for 90 s: ours go first, for a request may cross the other's end. */
function keptConnections(): Agent {
  return new Agent({ keepAlive: true, timeout: 30_000 })
}

function messageOf(said: string): string | undefined {
  try {
    return JSON.parse(said).message
  } catch {
    return said.trim() || undefined
  }
}

/** Path of an object, or of one that its kind, namespace and name name. */
export function pathOf(object: Pick<KubernetesObject, 'apiVersion' | 'kind' | 'metadata'>): string {
  return `${collectionOf(object)}/${object.metadata.name}`
}

export function collectionOf({
  apiVersion,
  kind,
  metadata: { namespace },
}: Pick<KubernetesObject, 'apiVersion' | 'kind' | 'metadata'>): string {
  const group = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  return `${group}${namespace === undefined ? '' : `/namespaces/${namespace}`}/${pluralOf(kind)}`
}

function pluralOf(kind: string): string {
  const lower = kind.toLowerCase()
  if (/[^aeiou]y$/.test(lower)) return lower.replace(/y$/, 'ies')
  return lower.endsWith('s') ? `${lower}es` : `${lower}s`
}

/** Between two looks. */
const EVERY_MS = 200

/**
 * Polls until `look` gives something other than undefined.
 * @throws Error saying what was awaited, after `withinMs`.
 */
export async function until<T>(
  what: string,
  withinMs: number,
  look: () => Promise<T | undefined> | T | undefined,
  everyMs = EVERY_MS,
): Promise<T> {
  const end = performance.now() + withinMs
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    if (performance.now() > end) throw new Error(`${what}: not within ${withinMs / 1000} s`)
    await pause(everyMs)
  }
}

/** Reads until it is enough, or gives what is there after `withinMs`: whoever asks compares. */
export async function untilEnough<T>(
  withinMs: number,
  read: () => Promise<T>,
  isEnough: (seen: T) => boolean,
): Promise<T> {
  const end = performance.now() + withinMs
  for (;;) {
    const seen = await read()
    if (isEnough(seen) || performance.now() > end) return seen
    await pause(EVERY_MS)
  }
}
