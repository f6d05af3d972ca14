import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { findBinaries, reachable } from '../src/embedded-postgres.ts'

test('binaries in a folder that is open to all are used where they are', () => {
  const open = mkdtempSync(join(tmpdir(), 'oms-open-'))
  // A temporary folder is its maker's alone until it is opened.
  chmodSync(open, 0o755)
  const binaries = binariesIn(open)
  expect(reachable(binaries)).toEqual(binaries)
  rmSync(open, { recursive: true })
})

test('binaries in a closed folder are copied to where user postgres can run them', async () => {
  if (userInfo().uid !== 0) return
  const { postgres } = await findBinaries()
  const closed = mkdtempSync(join(tmpdir(), 'oms-closed-'))
  cpSync(dirname(dirname(postgres)), join(closed, 'native'), {
    recursive: true,
    verbatimSymlinks: true,
  })
  const found = reachable(binariesIn(join(closed, 'native')))
  expect(found.postgres.startsWith(closed)).toBe(false)
  const run = (): string =>
    execFileSync('setpriv', ['--reuid=postgres', '--clear-groups', found.initdb, '--version'], {
      encoding: 'utf8',
    })
  expect(run()).toMatch(/^initdb \(PostgreSQL\) 18/)
  expect(reachable(binariesIn(join(closed, 'native')))).toEqual(found)
  rmSync(dirname(dirname(found.postgres)), { recursive: true })
  rmSync(closed, { recursive: true })
})

function binariesIn(native: string) {
  const at = (name: string): string => join(native, 'bin', name)
  return { initdb: at('initdb'), pg_ctl: at('pg_ctl'), postgres: at('postgres') }
}
