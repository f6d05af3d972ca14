/** For tests only: a good request of a route, and every place in it that a caller fills. */

export interface Call {
  readonly method: 'GET' | 'POST'
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: object
}

export interface Place {
  /** For the reader of a failure: `body/parts/0/name`, `header x-request-id`. */
  readonly name: string
  /** The call with another value there. */
  put(value: string): Call
}

/** Sent along by proxies, browsers and whoever likes to; read by some route or by none. */
const HEADERS_OF_ANYBODY = [
  'x-request-id',
  'traceparent',
  'tracestate',
  'baggage',
  'x-b3-sampled',
  'x-envoy-attempt-count',
  'x-forwarded-client-cert',
  'x-forwarded-host',
  'x-forwarded-for',
  'forwarded',
  'x-original-url',
  'user-agent',
  'referer',
  'cookie',
  'authorization',
]

type Path = readonly (string | number)[]

/** Where texts and numbers stand in a body. */
export function leavesOf(call: Call): readonly Place[] {
  return walk(call.body)
    .filter(({ value }) => typeof value !== 'object')
    .map(({ path }) => ({
      name: `body/${path.join('/')}`,
      put: (value) => withBody(call, (body) => set(body, path, value)),
    }))
}

/** The call's own headers one by one, those of anybody all at once. */
export function headersOf(call: Call): readonly Place[] {
  const own = Object.keys(call.headers ?? {}).map((name) => [name])
  return [...own, HEADERS_OF_ANYBODY].map((names) => ({
    name: `header ${names.join(', ')}`,
    put: (value) => {
      const changed = Object.fromEntries(names.map((name) => [name, value]))
      return { ...call, headers: { ...call.headers, ...changed } }
    },
  }))
}

/** @param id what the path names. */
export function addressesOf(call: Call, id: string): readonly Place[] {
  const [path = '', query = ''] = call.url.split('?')
  const inPath = path.includes(id)
    ? [
        {
          name: 'path',
          put: (value: string) => ({
            ...call,
            url: call.url.replace(id, encodeURIComponent(value)),
          }),
        },
      ]
    : []
  const inQuery = [...new URLSearchParams(query).keys()].map((name) => ({
    name: `query ${name}`,
    put(value: string) {
      const changed = new URLSearchParams(query)
      changed.set(name, value)
      return { ...call, url: `${path}?${changed}` }
    },
  }))
  return [...inPath, ...inQuery]
}

/** The call once for each object of its body, with one more member in it. */
export function withMember(call: Call, name: string, value: unknown): readonly Call[] {
  return walk(call.body)
    .filter(({ value: at }) => isObject(at) && !Object.hasOwn(at, name))
    .map(({ path }) =>
      withBody(call, (body) =>
        // Not by assignment, which would set the prototype.
        Object.defineProperty(get(body, path), name, { value, enumerable: true }),
      ),
    )
}

/** Names of members, lists as `[]`, each once. */
export function membersOf(value: unknown): readonly string[] {
  const names = walk(value).map(({ path }) =>
    path.map((step) => (typeof step === 'number' ? '[]' : step)).join('.'),
  )
  return [...new Set(names)].filter((name) => name !== '' && !name.endsWith('[]')).sort()
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function walk(value: unknown, path: Path = []): readonly { path: Path; value: unknown }[] {
  if (value === undefined) return []
  const members = typeof value === 'object' && value !== null ? Object.entries(value) : []
  const inside = members.flatMap(([name, member]) =>
    walk(member, [...path, Array.isArray(value) ? Number(name) : name]),
  )
  return [{ path, value }, ...inside]
}

function withBody(call: Call, change: (body: object) => void): Call {
  const body = structuredClone(call.body ?? {})
  change(body)
  return { ...call, body }
}

function get(body: object, path: Path): object {
  return path.reduce((at, step) => (at as Record<string | number, object>)[step] as object, body)
}

function set(body: object, path: Path, value: string): void {
  const last = path.at(-1) as string | number
  Object.assign(get(body, path.slice(0, -1)), { [last]: value })
}
