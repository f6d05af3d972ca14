/** docker-compose.yml as Docker would read it. */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parse } from 'yaml'

export const ROOT = resolve(import.meta.dirname, '../..')

export interface ComposeService {
  readonly image: string
  readonly build?: { readonly context: string; readonly args: Readonly<Record<string, string>> }
  readonly entrypoint?: readonly string[]
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, string | number>>
  /** `source:target[:ro]`; a source with a slash is a path. */
  readonly volumes?: readonly string[]
  readonly tmpfs?: readonly string[]
  /** `address:host port:container port`. */
  readonly ports?: readonly string[]
  readonly healthcheck?: { readonly test?: readonly string[]; readonly disable?: boolean }
  readonly depends_on?: Readonly<Record<string, { readonly condition: Condition }>>
  readonly user?: string
  readonly read_only?: boolean
  readonly cap_drop?: readonly string[]
  readonly security_opt?: readonly string[]
  readonly stop_grace_period?: string
}

export type Condition = 'service_started' | 'service_healthy' | 'service_completed_successfully'

export interface Compose {
  readonly services: Readonly<Record<string, ComposeService>>
  readonly volumes: Readonly<Record<string, unknown>>
}

export function readCompose(): Compose {
  const text = readFileSync(join(ROOT, 'docker-compose.yml'), 'utf8')
  // The file takes nothing from the caller's environment: all there is to put in is the escaped dollar.
  return parse(text, { merge: true, reviver: (_key, value) => unescaped(value) }) as Compose
}

function unescaped(value: unknown): unknown {
  return typeof value === 'string' ? value.replaceAll('$$', '$') : value
}

/** The environment as a process would see it. */
export function environmentOf({ environment = {} }: ComposeService): Record<string, string> {
  return Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, `${value}`]))
}

export interface Volume {
  readonly source: string
  readonly target: string
  readonly readOnly: boolean
}

export function volumesOf({ volumes = [] }: ComposeService): readonly Volume[] {
  return volumes.map((volume) => {
    const [source = '', target = '', mode] = volume.split(':')
    return { source, target, readOnly: mode === 'ro' }
  })
}
