/** The committed OpenAPI documents as a list of operations, references resolved. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'

const ROOT = resolve(import.meta.dirname, '../..')

/** What of JSON Schema the requests of our documents use. */
export interface Schema {
  readonly type?: string
  readonly enum?: readonly unknown[]
  readonly pattern?: string
  readonly minLength?: number
  readonly maxLength?: number
  readonly minimum?: number
  readonly maximum?: number
  readonly items?: Schema
  readonly minItems?: number
  readonly maxItems?: number
  readonly uniqueItems?: boolean
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean
}

export interface Parameter {
  readonly name: string
  readonly in: 'header' | 'path' | 'query'
  readonly required?: boolean
  readonly schema: Schema
}

type Content = Readonly<Record<string, { readonly schema: object }>>

export interface Operation {
  /** Folder of the document. */
  readonly of: string
  readonly method: 'GET' | 'POST'
  /** With `{names}`. */
  readonly path: string
  readonly parameters: readonly Parameter[]
  readonly body?: Schema
  readonly bodyRequired: boolean
  /** By status. */
  readonly responses: Readonly<Record<string, { readonly content?: Content }>>
}

interface DocumentedOperation {
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: {
    readonly required?: boolean
    readonly content: { readonly 'application/json': { readonly schema: Schema } }
  }
  readonly responses: Operation['responses']
}

type Node = Readonly<Record<string, unknown>>

export function documentFile(of: string): string {
  return resolve(ROOT, of, 'openapi.json')
}

/** @param of a folder with an openapi.json: `services/order`. */
export function operationsOf(of: string): readonly Operation[] {
  const document = JSON.parse(readFileSync(documentFile(of), 'utf8')) as Node
  const paths = resolved(document, document['paths']) as Readonly<
    Record<string, Readonly<Record<string, DocumentedOperation>>>
  >
  return Object.entries(paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, { parameters = [], requestBody, responses }]) => ({
      of,
      method: method.toUpperCase() as Operation['method'],
      path,
      // Header names have no case.
      parameters: parameters.map((each) => ({ ...each, name: nameOf(each) })),
      ...(requestBody === undefined
        ? {}
        : { body: requestBody.content['application/json'].schema }),
      bodyRequired: requestBody?.required === true,
      responses,
    })),
  )
}

function nameOf({ name, in: where }: Parameter): string {
  return where === 'header' ? name.toLowerCase() : name
}

/** Our documents have no reference that leads back to itself. */
function resolved(document: Node, node: unknown): unknown {
  if (Array.isArray(node)) return node.map((each) => resolved(document, each))
  if (typeof node !== 'object' || node === null) return node
  const { $ref: reference } = node as { readonly $ref?: string }
  if (reference !== undefined) {
    const path = reference.slice('#/'.length).split('/')
    return resolved(
      document,
      path.reduce<unknown>((at, name) => (at as Node)[name], document),
    )
  }
  return Object.fromEntries(
    Object.entries(node).map(([name, value]) => [name, resolved(document, value)]),
  )
}
