import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { applyPatch, patchFile, ROOT } from '../copy.ts'
import { type Killer, MUTANTS } from '../table.ts'

const NAMES = MUTANTS.map(({ name }) => name)

test('every mutant has one patch, and every patch a mutant', () => {
  const patches = readdirSync(join(ROOT, 'mutants/patches'))
  expect(patches.toSorted()).toEqual(NAMES.map((name) => `${name}.patch`).toSorted())
})

test('every patch fits the sources', async () => {
  const misfits = await Promise.all(
    NAMES.map((name) =>
      applyPatch(ROOT, name, '--check').then(
        () => [],
        ({ stderr }: { readonly stderr: string }) => [`${name}: ${stderr}`],
      ),
    ),
  )
  expect(misfits.flat()).toEqual([])
})

test('every patch changes the product, never what judges it', () => {
  const changed = NAMES.flatMap((name) =>
    [...readFileSync(patchFile(name), 'utf8').matchAll(/^\+\+\+ b\/(.*)$/gm)].map(
      ([, file]) => file,
    ),
  )
  expect(changed.length).toBeGreaterThanOrEqual(NAMES.length)
  for (const file of changed)
    expect(file).toMatch(/^(services|packages)\/[a-z]+\/(src|migrations)\/[a-z0-9/-]+\.ts$/)
})

test('every killer is there, by its name', () => {
  const missing = MUTANTS.filter(({ killer }) => !isThere(killer)).map(
    ({ name, killer }) => `${name}: ${killer.file} has no test "${killer.test}"`,
  )
  expect(missing).toEqual([])
})

/** Of `test.each`: printf's and members of the case; of a template. */
const PLACEHOLDER = /%[sdifjo#]|\$(?:\w+|\{[^}]*\})/g

/** Each part of the name stands in its file, or a title does whose placeholders vitest fills in. */
function isThere({ file, test: name }: Killer): boolean {
  const source = readFileSync(join(ROOT, file), 'utf8')
  const titles = [...source.matchAll(/(['"`])((?:(?!\1)[^\\\n]|\\.)*)\1/g)]
    .map(([, , text]) => text ?? '')
    // A title of placeholders alone would be every name's.
    .filter((text) => /\w/.test(text.replace(PLACEHOLDER, '')))
    .map(titlePattern)
  return name.split(' > ').every((part) => titles.some((title) => title.test(part)))
}

function titlePattern(title: string): RegExp {
  const parts = title.split(PLACEHOLDER).map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.+')}$`)
}
