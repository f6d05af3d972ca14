import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { configSchema as inventoryConfig } from '@oms/inventory/src/config.ts'
import { configSchema as orderConfig } from '@oms/order/src/config.ts'
import { configSchema as paymentConfig } from '@oms/payment/src/config.ts'
import { describe, expect, test } from 'vitest'

const ROOT = resolve(import.meta.dirname, '../..')

const CONFIGS = { order: orderConfig, payment: paymentConfig, inventory: inventoryConfig }

/** Name and default of each row of the table under "Variables"; a row may hold several, comma by comma. */
function variablesOf(readme: string): ReadonlyMap<string, string> {
  const section = readme.split('## Variables')[1]?.split('\n## ')[0] ?? ''
  const rows = section
    .split('\n')
    .filter((line) => /^\| *[A-Z]/.test(line) && !/Variable/.test(line))
  return new Map(
    rows.flatMap((row) => {
      const [names, defaults] = row
        .split('|')
        .slice(1, 3)
        .map((cell) => cell.split(',').map((each) => each.trim())) as [string[], string[]]
      return names.map((name, index) => [name, defaults[index] ?? ''] as const)
    }),
  )
}

describe.each(Object.entries(CONFIGS))('the README of %s', (service, { properties }) => {
  const variables = variablesOf(readFileSync(join(ROOT, 'services', service, 'README.md'), 'utf8'))

  test('names every variable, and no other', () => {
    expect([...variables.keys()].sort()).toEqual(Object.keys(properties).sort())
  })

  test('tells their defaults', () => {
    for (const [name, schema] of Object.entries(properties)) {
      const told = variables.get(name)
      // The collector's URL is too long for the table.
      if (name === 'TRACE_URL') continue
      const value = (schema as { default?: unknown }).default
      if (value === undefined) expect(['required', '–']).toContain(told)
      else expect(told).toBe(String(value))
    }
  })
})

describe('the documents', () => {
  const files = [
    'README.md',
    'CONTRIBUTING.md',
    ...readdirSync(join(ROOT, 'docs'))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `docs/${name}`),
    'k8s/README.md',
    'audit/README.md',
    'processor/README.md',
    ...Object.keys(CONFIGS).map((service) => `services/${service}/README.md`),
  ]

  test.each(files)('%s links to what is there', (file) => {
    const text = readFileSync(join(ROOT, file), 'utf8')
    const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)/g)].map(([, link]) => link as string)
    for (const link of links) expect(existsSync(join(ROOT, dirname(file), link)), link).toBe(true)
  })
})

describe('docs/security.md', () => {
  const rows = readFileSync(join(ROOT, 'docs/security.md'), 'utf8')
    .split('\n## ')
    .filter((section) => /^S\d/.test(section))
    .map((section) => ({ row: section.split(' ', 1)[0] as string, tests: testsIn(section) }))

  /** `- [file](path): “name of a test”` */
  function testsIn(section: string): readonly { readonly file: string; readonly name: string }[] {
    const items = section.matchAll(/^- \[[^\]]+\]\(([^)]+)\): “([^”]+)”$/gm)
    return [...items].map(([, path = '', name = '']) => ({ file: join('docs', path), name }))
  }

  /** The title of a test, or of a case of its table. */
  function hasTitle(source: string, name: string): boolean {
    return ["'", '"', '`'].some((quote) => {
      const before = source.split(quote + name + quote).slice(0, -1)
      return before.some((text) => /[([]\s*$/.test(text))
    })
  }

  test('has the rows that are the application’s, each with its test', () => {
    const expected = [...Array.from({ length: 17 }, (_, i) => `S${i + 1}`), 'S21']
    expect(rows.map(({ row }) => row)).toEqual(expected)
    const untested = rows.filter(({ tests }) => tests.length === 0)
    // The pod's own rights come with its manifest.
    expect(untested.map(({ row }) => row)).toEqual(['S7'])
  })

  test('names tests that there are', () => {
    const missing = rows
      .flatMap(({ tests }) => tests)
      .filter(({ file, name }) => !hasTitle(readFileSync(join(ROOT, file), 'utf8'), name))
    expect(missing).toEqual([])
  })
})
