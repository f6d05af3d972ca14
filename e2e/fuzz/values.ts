/** Values that a schema takes, and values that it refuses, each for one reason. */
import fc from 'fast-check'
import type { Schema } from './documents.ts'

/** Longer strings and arrays than this are made only where the schema asks for them. */
const USUAL_MAX = 40

/** Values by the name of a member or parameter, mostly taken: what the system has heard of. */
export type Known = Readonly<Record<string, fc.Arbitrary<unknown>>>

export function valid(schema: Schema, known: Known = {}): fc.Arbitrary<unknown> {
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum)
  switch (schema.type ?? '') {
    case 'string':
      return text(schema)
    case 'integer':
      return fc.integer({ min: schema.minimum ?? 0, max: schema.maximum ?? 1_000_000 })
    case 'array':
      return list(schema, known)
    case 'object':
      return object(schema, known)
    default:
      throw new Error(`There is no generator of ${JSON.stringify(schema)} yet; add it.`)
  }
}

/** `valid`, of the member or parameter of this name. */
export function named(name: string, schema: Schema, known: Known): fc.Arbitrary<unknown> {
  const some = known[name]
  const any = valid(schema, known)
  return some === undefined
    ? any
    : fc.oneof({ weight: 4, arbitrary: some }, { weight: 1, arbitrary: any })
}

function text({ pattern, minLength = 0, maxLength = USUAL_MAX }: Schema): fc.Arbitrary<string> {
  return pattern === undefined
    ? fc.string({ minLength, maxLength })
    : fc.stringMatching(new RegExp(pattern))
}

function list(schema: Schema, known: Known): fc.Arbitrary<unknown[]> {
  const { items = {}, minItems = 0, maxItems = USUAL_MAX, uniqueItems = false } = schema
  const bounds = { minLength: minItems, maxLength: maxItems }
  return uniqueItems
    ? fc.uniqueArray(valid(items, known), { ...bounds, selector: (each) => JSON.stringify(each) })
    : fc.array(valid(items, known), bounds)
}

function object(
  { properties = {}, required = [] }: Schema,
  known: Known = {},
): fc.Arbitrary<Record<string, unknown>> {
  const members = Object.entries(properties).map(
    ([name, schema]) => [name, named(name, schema, known)] as const,
  )
  const model: Record<string, fc.Arbitrary<unknown>> = Object.fromEntries(members)
  return fc.record(model, { requiredKeys: [...required], noNullPrototype: true })
}

/** A JSON value that the schema refuses, for one reason where there is one to choose. */
export function invalid(schema: Schema): fc.Arbitrary<unknown> {
  return fc.oneof(...faultsOf(schema))
}

function faultsOf(schema: Schema): fc.Arbitrary<unknown>[] {
  const others = otherTypes(schema)
  if (schema.enum !== undefined)
    return [...others, fc.string().filter((each) => schema.enum?.includes(each) === false)]
  switch (schema.type ?? '') {
    case 'string':
      return [...others, ...textFaults(schema)]
    case 'integer':
      return [...others, ...numberFaults(schema)]
    case 'array':
      return [...others, ...listFaults(schema)]
    case 'object':
      return [...others, ...objectFaults(schema)]
    default:
      return others
  }
}

/** An integer is a number, too; the fraction is one of its faults. */
const VALUES: readonly {
  readonly types: readonly string[]
  readonly arbitrary: fc.Arbitrary<unknown>
}[] = [
  { types: ['string'], arbitrary: fc.string({ maxLength: 12 }) },
  { types: ['integer'], arbitrary: fc.integer() },
  { types: [], arbitrary: fc.boolean() },
  { types: [], arbitrary: fc.constant(null) },
  { types: ['array'], arbitrary: fc.array(fc.integer(), { maxLength: 3 }) },
  {
    types: ['object'],
    arbitrary: fc.dictionary(fc.string({ maxLength: 8 }), fc.integer(), {
      maxKeys: 3,
      noNullPrototype: true,
    }),
  },
]

/** Strings beside the pattern; most are a good one with a character too many. */
export function textFaults({ pattern, maxLength }: Schema): fc.Arbitrary<string>[] {
  if (pattern === undefined)
    return maxLength === undefined
      ? []
      : [fc.string({ minLength: maxLength + 1, maxLength: maxLength + 10 })]
  const expression = new RegExp(pattern)
  const nearMiss = fc
    .tuple(fc.stringMatching(expression), fc.nat(), fc.string({ minLength: 1, maxLength: 1 }))
    .map(([good, at, extra]) => {
      const position = at % (good.length + 1)
      return good.slice(0, position) + extra + good.slice(position)
    })
  return [fc.string({ maxLength: 300 }), nearMiss].map((each) =>
    each.filter((value) => !expression.test(value)),
  )
}

export function numberFaults({ minimum, maximum }: Schema): fc.Arbitrary<number>[] {
  const fractions = fc.double({ noInteger: true, noNaN: true, noDefaultInfinity: true })
  return [
    fractions,
    ...(minimum === undefined
      ? []
      : [fc.integer({ min: Number.MIN_SAFE_INTEGER, max: minimum - 1 }), fc.constant(minimum - 1)]),
    ...(maximum === undefined || maximum === Number.MAX_SAFE_INTEGER
      ? []
      : [fc.integer({ min: maximum + 1, max: Number.MAX_SAFE_INTEGER }), fc.constant(maximum + 1)]),
  ]
}

function listFaults(schema: Schema): fc.Arbitrary<unknown>[] {
  const { items = {}, minItems = 0, maxItems, uniqueItems = false } = schema
  const of = (minLength: number, maxLength: number): fc.Arbitrary<unknown[]> =>
    list({ ...schema, minItems: minLength, maxItems: maxLength }, {})
  const oneBad = fc
    .tuple(of(0, 3), invalid(items), fc.nat(3))
    .map(([good, bad, at]) => good.toSpliced(at, 0, bad))
  return [
    oneBad,
    ...(minItems === 0 ? [] : [of(0, minItems - 1)]),
    ...(maxItems === undefined ? [] : [of(maxItems + 1, maxItems + 2)]),
    ...(uniqueItems ? [of(1, 3).map((good) => [...good, good[0]])] : []),
  ]
}

function objectFaults(schema: Schema): fc.Arbitrary<unknown>[] {
  return memberFaults(schema).map(({ arbitrary }) => arbitrary)
}

/** The parser refuses these before the schema is asked. */
const POISON = ['__proto__', 'constructor']

/** Objects with one member too few, bad or too many. */
export function memberFaults(
  schema: Schema,
): readonly { readonly name: string; readonly arbitrary: fc.Arbitrary<unknown> }[] {
  const { properties = {}, required = [], additionalProperties } = schema
  const good = object(schema)
  const unknown = fc
    .tuple(good, fc.string({ minLength: 1, maxLength: 12 }), fc.jsonValue({ maxDepth: 0 }))
    .filter(([, name]) => !Object.hasOwn(properties, name) && !POISON.includes(name))
    .map(([value, name, more]) => ({ ...value, [name]: more }))
  return [
    ...required.map((name) => ({
      name: `without ${name}`,
      arbitrary: good.map(({ [name]: _left, ...others }) => others),
    })),
    ...Object.entries(properties).map(([name, member]) => ({
      name: `with a bad ${name}`,
      arbitrary: fc.tuple(good, invalid(member)).map(([value, bad]) => ({ ...value, [name]: bad })),
    })),
    ...(additionalProperties === false
      ? [{ name: 'with an unknown member', arbitrary: unknown }]
      : []),
  ]
}

/** JSON of other types than the schema's. */
export function otherTypes({ type = 'string' }: Schema): fc.Arbitrary<unknown>[] {
  return VALUES.filter(({ types }) => !types.includes(type)).map(({ arbitrary }) => arbitrary)
}
