/** Starts the audit program; the only file that reads `process`. */
import { runCli } from './cli.ts'

process.exitCode = await runCli({
  argv: process.argv.slice(2),
  env: process.env,
  colours: process.stdout.isTTY === true && process.env['NO_COLOR'] === undefined,
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
})
