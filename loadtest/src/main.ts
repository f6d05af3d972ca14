/** `pnpm loadtest`: loads and faults, judged by money and stock. */
import { runCommand } from '@oms/proofs/session'
import { loadtest, USAGE } from './loadtest.ts'

await runCommand(USAGE, () => loadtest(process.argv.slice(2)))
// Ways into pods stay open as long as this process.
process.exit()
