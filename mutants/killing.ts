/** Runs named tests in a copy and says of each how it ended. */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Killer } from './table.ts'

/** 10 minutes: all of them together take one, on a quiet machine. */
const ENDS_WITHIN_MS = 600_000

export interface Ended {
  readonly passed: boolean
  /** Of a test that failed: each with its stack. */
  readonly messages: readonly string[]
}

/** `undefined` for a test that did not run: it is not there, or its file could not be loaded. */
export type Endings = (killer: Killer) => Ended | undefined

interface Report {
  readonly testResults: readonly {
    readonly name: string
    readonly message: string
    readonly assertionResults: readonly {
      readonly ancestorTitles: readonly string[]
      readonly title: string
      readonly status: string
      readonly failureMessages: readonly string[] | null
    }[]
  }[]
}

/** What vitest said in one word more than the report: where no test ran, that is why. */
export interface Run {
  readonly endings: Endings
  readonly output: string
}

export async function runTests(
  folder: string,
  killers: readonly Killer[],
  postgresUrl: string,
  signal: AbortSignal,
): Promise<Run> {
  const reportFile = join(folder, 'mutants-report.json')
  rmSync(reportFile, { force: true })
  const output = await vitest(folder, killers, reportFile, postgresUrl, signal)
  const { testResults }: Report = existsSync(reportFile)
    ? JSON.parse(readFileSync(reportFile, 'utf8'))
    : { testResults: [] }
  const ended = new Map<string, Ended>()
  for (const { name, assertionResults } of testResults)
    for (const { ancestorTitles, title, status, failureMessages } of assertionResults)
      if (status === 'passed' || status === 'failed')
        ended.set(`${name}: ${[...ancestorTitles, title].join(' > ')}`, {
          passed: status === 'passed',
          messages: failureMessages ?? [],
        })
  const failedFiles = testResults.map(({ message }) => message).filter((message) => message !== '')
  return {
    endings: ({ file, test }) => ended.get(`${join(folder, file)}: ${test}`),
    output: [...failedFiles, output].join('\n'),
  }
}

function vitest(
  folder: string,
  killers: readonly Killer[],
  reportFile: string,
  postgresUrl: string,
  signal: AbortSignal,
): Promise<string> {
  const names = killers.map(({ test }) => escaped(test))
  const args = [
    join(folder, 'node_modules/vitest/vitest.mjs'),
    'run',
    ...['--reporter', 'json', '--outputFile', reportFile],
    ...['--testNamePattern', `^(?:${names.join('|')})$`],
    ...new Set(killers.map(({ file }) => file)),
  ]
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      cwd: folder,
      env: { ...process.env, NO_COLOR: '1', TEST_POSTGRES_URL: postgresUrl },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A group of its own: Ctrl-C comes once, from here, and vitest lets the tests end what they started.
      detached: true,
      signal: AbortSignal.any([signal, AbortSignal.timeout(ENDS_WITHIN_MS)]),
      killSignal: 'SIGINT',
    })
    const chunks: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.once('error', (error) => {
      if (error.name !== 'AbortError') reject(error)
    })
    child.once('close', () => resolve(Buffer.concat(chunks).toString('utf8')))
  })
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
