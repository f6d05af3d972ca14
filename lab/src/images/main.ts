/**
 * `pnpm verify:images [--install]`: builds the product's images and runs them (lab/test/images.test.ts).
 * Ends with 1 where this machine cannot: what is not run is not green.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { hand, LabError } from '../command.ts'
import { ROOT } from '../folders.ts'
import { checkMachine } from './preconditions.ts'

try {
  const { values } = parseArgs({ options: { install: { type: 'boolean', default: false } } })
  await checkMachine(values)
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs')
  const args = [vitest, 'run', '--project', 'images']
  process.exitCode = (await hand(process.execPath, args, { cwd: ROOT })) ?? 1
} catch (error) {
  if (!(error instanceof LabError) && !(error instanceof TypeError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
}
