/** Schemas that others publish, made strict: of CustomResourceDefinitions and of Kubernetes' own OpenAPI document. */
import { METADATA, type Schema, TEXT } from './own.ts'

interface Definition {
  readonly kind: string
  readonly spec: {
    readonly group: string
    readonly names: { readonly kind: string }
    readonly versions: readonly {
      readonly name: string
      readonly served: boolean
      readonly schema: { readonly openAPIV3Schema: Schema }
    }[]
  }
}

/** apiVersion/kind → schema, of every version that is served. */
export function schemasOfDefinitions(documents: readonly unknown[]): ReadonlyMap<string, Schema> {
  const definitions = (documents as readonly Definition[]).filter(
    ({ kind }) => kind === 'CustomResourceDefinition',
  )
  return new Map(
    definitions.flatMap(({ spec: { group, names, versions } }) =>
      versions
        .filter(({ served }) => served)
        .map(({ name, schema: { openAPIV3Schema } }) => {
          const { properties, ...rest } = strict(openAPIV3Schema) as { properties: object }
          const schema = {
            ...rest,
            properties: { apiVersion: TEXT, kind: TEXT, ...properties, metadata: METADATA },
          }
          return [`${group}/${name}/${names.kind}`, schema] as const
        }),
    ),
  )
}

interface OpenApi {
  readonly definitions: Readonly<Record<string, Schema>>
}

interface GroupVersionKind {
  readonly group: string
  readonly version: string
  readonly kind: string
}

/** One schema for all: its definitions, and apiVersion/kind → the one to refer to. */
export function kubernetesSchemas({ definitions }: OpenApi): {
  readonly definitions: Schema
  readonly references: ReadonlyMap<string, string>
} {
  const references = Object.entries(definitions).flatMap(([name, definition]) =>
    ((definition['x-kubernetes-group-version-kind'] ?? []) as readonly GroupVersionKind[]).map(
      ({ group, version, kind }) =>
        [`${group === '' ? '' : `${group}/`}${version}/${kind}`, name] as const,
    ),
  )
  return { definitions: strictAll(definitions), references: new Map(references) }
}

/** Numbers are quantities, too. */
const SCALAR: Schema = { type: ['string', 'number'] }

function strictAll(properties: Readonly<Record<string, Schema>>): Readonly<Record<string, Schema>> {
  return Object.fromEntries(
    Object.entries(properties).map(([name, schema]) => [
      name,
      name.endsWith('.resource.Quantity') ? SCALAR : strict(schema),
    ]),
  )
}

/** The same schema, refusing what it does not name. Only where it says itself what there is: not inside oneOf and not. */
function strict(schema: Schema): Schema {
  const { properties, items, additionalProperties, format, ...rest } = schema as {
    properties?: Readonly<Record<string, Schema>>
    items?: Schema
    additionalProperties?: Schema | boolean
    format?: string
  } & Schema
  if (rest['x-kubernetes-int-or-string'] === true || format === 'int-or-string') return SCALAR
  const isOpen = rest['x-kubernetes-preserve-unknown-fields'] === true
  return {
    ...rest,
    ...(properties === undefined
      ? {}
      : { properties: strictAll(properties), ...(isOpen ? {} : { additionalProperties: false }) }),
    ...(items === undefined ? {} : { items: strict(items) }),
    ...(typeof additionalProperties === 'object'
      ? { additionalProperties: strict(additionalProperties) }
      : {}),
  }
}
