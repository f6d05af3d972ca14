/** Validation in words for a person: the path, what stands there, what may. */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import type { Schema } from './own.ts'

/** What is wrong with a document; empty: nothing. */
export type Validator = (document: unknown) => readonly string[]

/** @param shared definitions that schemas refer to as `#/definitions/NAME` of `kubernetes`. */
export function createValidators(
  schemas: ReadonlyMap<string, Schema>,
  shared?: { readonly definitions: Schema; readonly references: ReadonlyMap<string, string> },
): (kind: string) => Validator | undefined {
  const ajv = new Ajv({ allErrors: true, strict: false, validateFormats: false, verbose: true })
  if (shared !== undefined) ajv.addSchema({ definitions: shared.definitions }, 'kubernetes')
  const compiled = new Map<string, ValidateFunction>()

  function compile(kind: string): ValidateFunction | undefined {
    const own = schemas.get(kind)
    if (own !== undefined) return ajv.compile(own)
    const name = shared?.references.get(kind)
    return name === undefined ? undefined : ajv.compile({ $ref: `kubernetes#/definitions/${name}` })
  }

  return (kind) => {
    const validate = compiled.get(kind) ?? compile(kind)
    if (validate === undefined) return undefined
    compiled.set(kind, validate)
    return (document) => (validate(document) ? [] : (validate.errors ?? []).map(sentence))
  }
}

function sentence({ keyword, instancePath, params, message, parentSchema }: ErrorObject): string {
  const path = instancePath
    .replaceAll(/\/(\d+)/g, '[$1]')
    .replaceAll('/', '.')
    .replaceAll('~1', '/')
    .slice(1)
  const prefix = path === '' ? '' : `${path}.`
  if (keyword === 'additionalProperties') {
    const names = Object.keys((parentSchema?.['properties'] ?? {}) as object)
    return `${prefix}${params['additionalProperty']} is no field; there are ${names.join(', ')}`
  }
  if (keyword === 'required') return `${prefix}${params['missingProperty']} is missing`
  if (keyword === 'enum') return `${path} must be one of ${params['allowedValues'].join(', ')}`
  return `${path} ${message}`
}
