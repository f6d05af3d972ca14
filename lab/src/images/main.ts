/**
 * `pnpm verify:images [--install]`: builds the product's images and runs them (lab/test/images.test.ts).
 * Ends with 1 where this machine cannot: what is not run is not green.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { LabError } from '../command.ts'
import { checkMachine } from './preconditions.ts'
import { ROOT } from './stand-ins.ts'

try {
  const { values } = parseArgs({ options: { install: { type: 'boolean', default: false } } })
  await checkMachine(values)
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs')
  const tests = spawn(process.execPath, [vitest, 'run', '--project', 'images'], {
    cwd: ROOT,
    stdio: 'inherit',
  })
  tests.once('exit', (code) => process.exit(code ?? 1))
} catch (error) {
  if (!(error instanceof LabError) && !(error instanceof TypeError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}
