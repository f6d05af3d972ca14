/**
 * What vitest tells of a run of the proofs, as lines on the terminal and as results. What fails outside of a proof
 * (a file that does not load, a hook, a promise that nobody awaited) is a red result as well: nothing is lost.
 */
import { basename } from 'node:path'
import type { Reporter, TestCase, TestModule, TestSuite } from 'vitest/node'
import { brokenOutside, isLeftOut, metaOf, neverRan, resultOf } from './outcome.ts'
import { createProgress, type Output, writeProof } from './progress.ts'
import type { ProofResult, ProofRun } from './result.ts'
import { countOf, countsInWords, durationInWords } from './words.ts'

export type Finished = Pick<ProofRun, 'startedAt' | 'durationMs' | 'proofs'>

export interface ReporterOptions {
  readonly out?: Output
  /** Called once, at the end; gives the path of the report where it wrote one. */
  readonly onEnd?: (run: Finished) => string | undefined | Promise<string | undefined>
}

export function createReporter({ out = process.stdout, onEnd }: ReporterOptions = {}): Reporter {
  const startedAt = new Date()
  const progress = createProgress(out)
  const results: ProofResult[] = []
  /** Ids of vitest: it tells of some tests twice, and of some never. */
  const told = new Set<string>()
  let group: TestModule | undefined
  let filtered = false
  /** Passed, but no proof. */
  let others = 0

  function add(result: ProofResult, file?: TestModule): void {
    if (file && file !== group) {
      group = file
      progress.write(progress.paint('bold', basename(file.moduleId).replace(/\.test\.ts$/, '')))
    }
    results.push(result)
    writeProof(progress, result)
  }

  function addTest(test: TestCase): void {
    if (told.has(test.id)) return
    told.add(test.id)
    // With `-t`, what was not asked for.
    if (filtered && isLeftOut(test)) return
    const result = resultOf(test)
    if (result.outcome === 'green' && !metaOf(test)) others += 1
    else add(result, test.module)
  }

  function addFailures(suite: TestModule | TestSuite, file: TestModule): void {
    if (told.has(suite.id)) return
    told.add(suite.id)
    const name = suite.type === 'module' ? suite.relativeModuleId : suite.fullName
    for (const error of suite.errors()) add(brokenOutside(name, error), file)
  }

  return {
    onInit({ config }) {
      filtered = config.testNamePattern !== undefined
    },
    onTestCaseReady: (test) => progress.start(test.name),
    onTestCaseResult(test) {
      progress.end(test.name)
      addTest(test)
    },
    onTestSuiteResult: (suite) => addFailures(suite, suite.module),
    onTestModuleEnd: (file) => addFailures(file, file),
    onUserConsoleLog: ({ content }) => progress.write(content),
    async onTestRunEnd(files, unhandledErrors) {
      for (const file of files) {
        for (const suite of file.children.allSuites()) addFailures(suite, file)
        addFailures(file, file)
        for (const test of file.children.allTests()) addTest(test)
        if (file.children.size === 0 && file.errors().length === 0) add(neverRan(file), file)
      }
      for (const [index, error] of unhandledErrors.entries())
        add(brokenOutside(`unhandled.${index + 1}`, error))
      progress.close()
      await end()
    },
  }

  async function end(): Promise<void> {
    const run = {
      startedAt: startedAt.toISOString(),
      durationMs: Date.now() - startedAt.getTime(),
      proofs: results,
    }
    const report = await onEnd?.(run)
    const red = countOf(results, 'red')
    // Vitest does not count a witness that nobody listened to.
    if (red > 0) process.exitCode = 1
    progress.write('')
    progress.write(
      testsInWords(red, countOf(results, 'green') + others, countOf(results, 'not run')),
    )
    progress.write(
      `${countsInWords(results)} in ${durationInWords(run.durationMs)}${report ? `; report: ${report}` : ''}`,
    )
  }
}

/** As vitest's own reporter says it: whoever counts the tests of all runs reads this line. */
function testsInWords(failed: number, passed: number, skipped: number): string {
  const parts = [
    failed > 0 ? `${failed} failed` : '',
    passed > 0 ? `${passed} passed` : '',
    skipped > 0 ? `${skipped} skipped` : '',
  ].filter(Boolean)
  return `      Tests  ${parts.join(' | ') || 'no tests'} (${failed + passed + skipped})`
}
