/** Requests made from an operation's schema: good ones, and ones with a single deliberate fault. */
import fc from 'fast-check'
import type { Operation, Parameter, Schema } from './documents.ts'
import { type Known, memberFaults, named, numberFaults, otherTypes, textFaults } from './values.ts'

export interface Request {
  readonly parameters: Readonly<Record<Parameter['in'], Readonly<Record<string, unknown>>>>
  /** JSON; `undefined` for none. */
  readonly body: unknown
  /** In place of the body. */
  readonly raw?: keyof typeof RAW
}

/** 64 KiB, the limit of a body. */
const BODY_LIMIT_BYTES = 65_536

const RAW = {
  'no JSON': { text: '{"lines": [', contentType: 'application/json' },
  'another kind': { text: 'a=1', contentType: 'application/x-www-form-urlencoded' },
  'too large': { text: `"${'a'.repeat(BODY_LIMIT_BYTES)}"`, contentType: 'application/json' },
} as const

/** A request with this fault has this status, whatever else it says. */
export interface Fault {
  readonly name: string
  readonly status: number
  readonly requests: fc.Arbitrary<Request>
  /** Where the problem must point to: another fault, made by the way, is not this one. */
  readonly pointer?: string
}

const KEY = 'idempotency-key'
const TENANT = 'x-tenant-id'
const DEADLINE = 'x-request-deadline-ms'

/** @param known by the name of a member or parameter. */
export function goodRequests(operation: Operation, known: Known): fc.Arbitrary<Request> {
  const { parameters, body, bodyRequired } = operation
  const of = (where: Parameter['in']): fc.Arbitrary<Record<string, unknown>> => {
    const those = parameters.filter((each) => each.in === where)
    const value = ({ name, schema }: Parameter): fc.Arbitrary<unknown> => {
      const any = named(name, schema, known)
      if (name === DEADLINE) return any.filter(isPatient)
      return where === 'path' ? any.filter(isSegment) : any
    }
    const values: Record<string, fc.Arbitrary<unknown>> = Object.fromEntries(
      those.map((each) => [each.name, value(each)] as const),
    )
    const required = those.filter((each) => each.required === true)
    return fc.record(values, { requiredKeys: required.map(({ name }) => name) })
  }
  const some = body === undefined ? fc.constant(undefined) : named('body', body, known)
  return fc
    .record({
      parameters: fc.record({ header: of('header'), path: of('path'), query: of('query') }),
      body: bodyRequired ? some : fc.option(some, { nil: undefined }),
    })
    .chain((request) => fc.constantFrom(request, withAgreeingKey(operation, request)))
}

/** The document says of a key that it must be the order's id, and a refund's number behind it. */
function withAgreeingKey({ parameters }: Operation, request: Request): Request {
  const { description = '' } = (parameters.find(({ name }) => name === KEY) ?? {}) as {
    readonly description?: string
  }
  if (!description.startsWith('{order_id}')) return request
  const { order_id, refund_no } = (request.body ?? {}) as Readonly<Record<string, unknown>>
  const id = String(order_id ?? request.parameters.path['orderId'])
  const key = description.replace('{order_id}', id).replace(/1$/, String(refund_no ?? 1))
  return withParameter(request, 'header', KEY, key)
}

/** @param good requests without a fault. */
export function faultsOf(
  { parameters, body, bodyRequired }: Operation,
  good: fc.Arbitrary<Request>,
): readonly Fault[] {
  const of = (where: Parameter['in'], name?: string): readonly Parameter[] =>
    parameters.filter((each) => each.in === where && each.name === (name ?? each.name))
  const from = (make: (request: Request) => fc.Arbitrary<Request>) => good.chain(make)
  const fault = (
    name: string,
    status: number,
    requests: fc.Arbitrary<Request>,
    pointer?: string,
  ): Fault => ({ name, status, requests, ...(pointer === undefined ? {} : { pointer }) })
  const replacing = (where: Parameter['in'], name: string, values: fc.Arbitrary<unknown>) =>
    from((request) => values.map((value) => withParameter(request, where, name, value)))
  const withBody = (bodies: fc.Arbitrary<unknown>) =>
    from((request) => bodies.map((bad) => ({ ...request, body: bad })))
  const leaving = (where: Parameter['in'], name: string) =>
    good.map((request) => without(request, where, name))
  const raw = (kind: keyof typeof RAW) => good.map((request) => ({ ...request, raw: kind }))

  return [
    ...(body === undefined
      ? []
      : [
          ...memberFaults(body).map(({ name, arbitrary }) =>
            fault(`a body ${name}`, 400, withBody(arbitrary), '/body'),
          ),
          fault('a body of another type', 400, withBody(fc.oneof(...otherTypes(body))), '/body'),
          fault('a body that is no JSON', 400, raw('no JSON')),
          fault('a body of another kind', 415, raw('another kind')),
          fault('a body too large', 413, raw('too large')),
        ]),
    ...(bodyRequired
      ? [
          fault(
            'no body',
            400,
            good.map((request) => ({ ...request, body: undefined })),
          ),
        ]
      : []),
    ...of('header', TENANT).flatMap(({ schema }) => [
      fault('no tenant', 401, leaving('header', TENANT)),
      fault('a malformed tenant', 400, replacing('header', TENANT, headerFaults(schema))),
    ]),
    ...of('header', KEY).flatMap(({ schema }) => [
      fault('no key', 400, leaving('header', KEY)),
      fault('a malformed key', 400, replacing('header', KEY, headerFaults(schema))),
    ]),
    ...of('path').flatMap(({ name, schema }) =>
      schema.pattern === undefined
        ? []
        : [fault(`a malformed ${name}`, 400, replacing('path', name, pathFaults(schema)))],
    ),
    ...of('query').flatMap(({ name, schema, required = false }) => {
      const values = queryFaults(schema)
      return [
        ...(values.length === 0
          ? []
          : [
              fault(
                `a malformed ${name}`,
                400,
                replacing('query', name, fc.oneof(...values)),
                `/querystring/${name}`,
              ),
            ]),
        ...(required ? [fault(`no ${name}`, 400, leaving('query', name))] : []),
      ]
    }),
    ...of('header', DEADLINE).map(() =>
      fault('no time', 429, replacing('header', DEADLINE, fc.integer({ min: 0, max: 49 }))),
    ),
    ...(of('query').length === 0
      ? []
      : [
          fault(
            'an unknown query parameter',
            400,
            replacing('query', 'unheard', fc.constant('of')),
            '/querystring/unheard',
          ),
        ]),
  ]
}

/** Visible, as far as a header's value can be wrong and still be sent. */
function headerFaults(schema: Schema): fc.Arbitrary<string> {
  return fc
    .oneof(...textFaults(schema))
    .filter((value) => /^[\x20-\x7e]+$/.test(value) && value.trim() === value && value !== '')
}

/** Words are ignored, less than 50 ms is refused before anything else is looked at. */
function isPatient(value: unknown): boolean {
  return !/^\d{1,4}$/.test(String(value))
}

function pathFaults(schema: Schema): fc.Arbitrary<string> {
  return fc.oneof(...textFaults(schema)).filter(isSegment)
}

/** An empty one, or one that means another, makes another address. */
function isSegment(value: unknown): boolean {
  return !/^\.*$/.test(String(value))
}

/** Query values are text: a number in quotes is the same, but nothing that reads as a good one is a fault. */
function queryFaults(schema: Schema): fc.Arbitrary<unknown>[] {
  const { type, items = {} } = schema
  if (type === 'array') {
    const { maxItems = 0 } = schema
    const good = named('', items, {})
    return [
      ...queryFaults(items).map((bad) => bad.map((value) => [value])),
      fc.array(good, { minLength: maxItems + 1, maxLength: maxItems + 1 }),
    ]
  }
  if (type === 'integer')
    return [
      ...numberFaults(schema),
      fc.constantFrom('', 'ten', '1e400', '-', '0x', '1,2', 'null'),
      fc.tuple(named('', schema, {}), named('', schema, {})),
    ]
  if (schema.enum !== undefined)
    return [fc.string({ maxLength: 12 }).filter((value) => !schema.enum?.includes(value))]
  return textFaults(schema)
}

function withParameter(
  request: Request,
  where: Parameter['in'],
  name: string,
  value: unknown,
): Request {
  const { parameters } = request
  return {
    ...request,
    parameters: { ...parameters, [where]: { ...parameters[where], [name]: value } },
  }
}

function without(request: Request, where: Parameter['in'], name: string): Request {
  const { [name]: _left, ...others } = request.parameters[where]
  return { ...request, parameters: { ...request.parameters, [where]: others } }
}

export interface Rendered {
  readonly method: Operation['method']
  readonly url: string
  readonly headers: Record<string, string>
  readonly payload?: string
}

const JSON_BODY = { text: undefined, contentType: 'application/json' }

/** As it goes over the wire. */
export function render({ method, path }: Operation, request: Request): Rendered {
  const { parameters, body, raw } = request
  const address = path.replaceAll(/\{(\w+)\}/g, (_braces, name) =>
    encodeURIComponent(String(parameters.path[name])),
  )
  const query = new URLSearchParams(
    Object.entries(parameters.query).flatMap(([name, value]) =>
      [value].flat().map((each): [string, string] => [name, String(each)]),
    ),
  ).toString()
  const { text, contentType } = raw === undefined ? JSON_BODY : RAW[raw]
  const payload = text ?? (body === undefined ? undefined : JSON.stringify(body))
  const headers = Object.entries(parameters.header).map(([name, value]) => [name, String(value)])
  return {
    method,
    url: query === '' ? address : `${address}?${query}`,
    headers: {
      ...Object.fromEntries(headers),
      ...(payload === undefined ? {} : { 'content-type': contentType }),
    },
    ...(payload === undefined ? {} : { payload }),
  }
}
