/** What k8s/apps tells each program, against what the program knows. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseConfig } from '@oms/chassis/config'
import { configSchema as inventoryConfig } from '@oms/inventory/src/config.ts'
import { configSchema as orderConfig } from '@oms/order/src/config.ts'
import { configSchema as paymentConfig } from '@oms/payment/src/config.ts'
import { describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { ROOT } from './compose.ts'

const SCHEMAS = {
  'order-service': orderConfig,
  'payment-service': paymentConfig,
  'inventory-service': inventoryConfig,
}
const NAMES = Object.keys(SCHEMAS) as (keyof typeof SCHEMAS)[]

interface Container {
  readonly name: string
  readonly env: readonly { readonly name: string; readonly value?: string }[]
  readonly volumeMounts: readonly { readonly mountPath: string }[]
}

interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly spec: {
    readonly ports?: readonly { readonly port: number }[]
    readonly template: { readonly spec: { readonly containers: readonly Container[] } }
  }
}

const files = [...NAMES, 'postgres'].map((name) => `k8s/apps/${name}.yaml`)
const manifests = [...files, 'k8s/apps/order-service-canary/order-service-canary.yaml'].flatMap(
  (file) =>
    parseAllDocuments(readFileSync(join(ROOT, file), 'utf8')).map(
      (document) => document.toJS() as Manifest,
    ),
)
const programs = manifests
  .filter(({ kind }) => kind === 'Deployment' || kind === 'Job')
  .map((manifest) => ({
    ...manifest,
    title: `${manifest.kind} ${manifest.metadata.name}`,
    schema:
      SCHEMAS[NAMES.find((name) => manifest.metadata.name.startsWith(name)) as 'order-service'],
    container: manifest.spec.template.spec.containers[0] as Container,
  }))

/** A value that only the cluster knows stands for itself. */
const environmentOf = ({ env }: Container): Record<string, string> =>
  Object.fromEntries(env.map(({ name, value }) => [name, value ?? name.toLowerCase()]))

test('every service has its Deployment and its migration', () => {
  expect(programs.map(({ title }) => title).sort()).toEqual(
    [
      ...NAMES.flatMap((name) => [`Deployment ${name}`, `Job ${name}-migrate`]),
      'Deployment order-service-canary',
    ].sort(),
  )
})

describe.each(programs)('$title', ({ kind, schema, container }) => {
  const env = environmentOf(container)

  test('gets variables that its program knows, and starts with them', () => {
    expect(Object.keys(env).filter((name) => !Object.hasOwn(schema.properties, name))).toEqual([])
    if (kind === 'Deployment') parseConfig(schema, env)
  })

  test('finds its files below what is mounted', () => {
    const mounted = container.volumeMounts.map(({ mountPath }) => `${mountPath}/`)
    const paths = Object.entries(env).filter(([name]) => name.endsWith('_FILE'))
    expect(paths.length).toBeGreaterThan(0)
    for (const [name, path] of paths)
      expect(
        mounted.some((folder) => path.startsWith(folder)),
        name,
      ).toBe(true)
  })

  test('calls others of the namespace by their names and ports', () => {
    const services = manifests
      .filter((manifest) => manifest.kind === 'Service')
      .map(({ metadata, spec }) => `${metadata.name}:${spec.ports?.[0]?.port}`)
    const hosts = Object.entries(env)
      .filter(([name]) => name.endsWith('_URL'))
      .map(([, url]) => new URL(url))
      .filter(({ hostname }) => !hostname.includes('.'))
    expect(hosts.length).toBeGreaterThan(0)
    for (const { host } of hosts) expect(services).toContain(host)
  })
})
