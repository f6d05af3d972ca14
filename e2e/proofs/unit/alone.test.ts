/** Two runs on one cluster would take back each other's changes. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { beAlone } from '../alone.ts'

let folder: string
let journal: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'oms-alone-'))
  journal = join(folder, 'changes-lab.json')
})
afterEach(() => rmSync(folder, { recursive: true }))

test('a second run is refused as long as the first one lives', async () => {
  const first = spawn(process.execPath, ['--eval', 'setInterval(() => {}, 1000)'])
  writeFileSync(`${journal}.pid`, String(first.pid))
  expect(() => beAlone(journal, 'the lab')).toThrow(
    `Another run is under way on the lab: process ${first.pid}.`,
  )
  const gone = once(first, 'exit')
  first.kill('SIGKILL')
  await gone
  beAlone(journal, 'the lab')
  expect(readFileSync(`${journal}.pid`, 'utf8')).toBe(String(process.pid))
})
