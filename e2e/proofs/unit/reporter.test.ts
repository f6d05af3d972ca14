import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { createProgress, writeProof } from '../progress.ts'
import { durationInWords } from '../words.ts'
import { GREEN, RED } from './invented.ts'

const ROOT = join(import.meta.dirname, '../../..')
/** Of a vitest that starts beside the whole of `npm test`. */
const WITHIN_MS = 60_000

/** Vitest on the files of `fixture/`, as from a shell without a terminal. */
function runFixture(...args: readonly string[]) {
  const folder = mkdtempSync(join(tmpdir(), 'reporter-'))
  const results = join(folder, 'results.json')
  // The variables of the vitest around it would make it one of its workers.
  const own = Object.entries(process.env).filter(([name]) => !/^(VITEST|NODE_ENV|TEST$)/.test(name))
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['node_modules/vitest/vitest.mjs', 'run', '--root', 'e2e/proofs/unit/fixture', ...args],
    {
      cwd: ROOT,
      env: { ...Object.fromEntries(own), RESULTS: results, NO_COLOR: '1' },
      encoding: 'utf8',
      timeout: WITHIN_MS,
    },
  )
  const { proofs } = JSON.parse(readFileSync(results, 'utf8'))
  rmSync(folder, { recursive: true })
  return { stdout: stdout.replace(/\d+\.\d s/g, '0.0 s'), stderr, status, proofs }
}

describe('a run without a terminal', () => {
  let run: ReturnType<typeof runFixture>
  beforeAll(() => {
    run = runFixture('--exclude', 'killed*')
  })

  it('prints a line a proof, what speaks against a red one, and nothing else', () => {
    expect(run.stderr).toBe('')
    expect(run.stdout.split('\n').sort()).toEqual(LINES.split('\n').sort())
    const retries = LINES.slice(0, LINES.indexOf('broken-hook'))
    expect(run.stdout).toContain(retries)
  })

  it('ends with the counts, as vitest says them and as a person does', () => {
    expect(run.stdout.trimEnd().split('\n').slice(-2)).toEqual(
      LINES.trimEnd().split('\n').slice(-2),
    )
    expect(run.status).toBe(1)
  })

  it('hands each proof over with its outcome, and each failure outside of one as red', () => {
    const outcomes = Object.fromEntries(
      run.proofs.map(({ name, outcome, reason, atAssertion }: typeof RED) => [
        name,
        [
          outcome,
          ...(reason === undefined ? [] : [reason]),
          ...(atAssertion === undefined ? [] : [atAssertion]),
        ],
      ]),
    )
    expect(outcomes).toEqual({
      'retry.transient': ['green'],
      'retry.exhausted': [
        'red',
        `AssertionError: expected [ 1, 2 ] to deeply equal [ 1, 2, 3, 4 ] (${FIXTURE}/outcomes.proof.ts:18)`,
        true,
      ],
      'retry.broken': ['red', `TypeError: no such pod (${FIXTURE}/outcomes.proof.ts:23)`, false],
      'retry.deaf': ['red', 'a witness disagrees', true],
      'kiali.graph': ['not run', 'no Kiali here'],
      'hook.behind': ['not run', 'what prepares it failed'],
      'broken-hook.proof.ts': ['red', `no probe (${FIXTURE}/broken-hook.proof.ts:4)`, false],
      'does-not-load.proof.ts': [
        'red',
        `cannot be loaded (${FIXTURE}/does-not-load.proof.ts:1)`,
        false,
      ],
      'unhandled.1': ['red', `nobody awaited this (${FIXTURE}/unhandled.proof.ts:4)`, false],
    })
  })
})

describe('a run whose workers die', { timeout: WITHIN_MS }, () => {
  it('names the file and the proof that did not end, and is red', () => {
    const { proofs, status } = runFixture('killed')
    const outcomes = proofs.map(({ name, outcome, reason }: typeof RED) => [name, outcome, reason])
    expect(outcomes).toHaveLength(4)
    expect(outcomes).toEqual(
      expect.arrayContaining([
        ['killed-early.proof.ts', 'not run', 'the run ended before it'],
        ['killed.amid', 'not run', 'the run ended before it'],
        ['unhandled.1', 'red', '[vitest-pool]: Worker forks emitted error.'],
        ['unhandled.2', 'red', '[vitest-pool]: Worker forks emitted error.'],
      ]),
    )
    expect(status).toBe(1)
  })
})

describe('a run of the proofs of one name', { timeout: WITHIN_MS }, () => {
  it('is silent about the others, and red for a witness that nobody listened to', () => {
    const { proofs, status, stdout } = runFixture('outcomes', '-t', 'retry.deaf')
    expect(proofs.map(({ name }: typeof RED) => name)).toEqual(['retry.deaf'])
    expect(stdout).toContain('      Tests  1 failed (1)\n0 green, 1 red, 0 not run in ')
    expect(status).toBe(1)
  })
})

const FIXTURE = 'e2e/proofs/unit/fixture'

const LINES = `said aloud
outcomes.proof.ts
  ✓ retry.transient         0.0 s  is retried
  ✗ retry.exhausted         0.0 s  gives up
      ledger  payment-service: tries: seen [1,2], expected [1,2,3,4]
  ✗ retry.broken            0.0 s  never heard
      TypeError: no such pod (${FIXTURE}/outcomes.proof.ts:23)
  – kiali.graph                    not run: no Kiali here
  ✗ retry.deaf              0.0 s  hears nothing
      ledger  payment-service: tries: seen [1], expected [1,2,3,4]
broken-hook.proof.ts
  – hook.behind                    not run: what prepares it failed
  ✗ broken-hook.proof.ts    0.0 s  nothing fails outside of a proof
      no probe (${FIXTURE}/broken-hook.proof.ts:4)
does-not-load.proof.ts
  ✗ does-not-load.proof.ts  0.0 s  nothing fails outside of a proof
      cannot be loaded (${FIXTURE}/does-not-load.proof.ts:1)
  ✗ unhandled.1             0.0 s  nothing fails outside of a proof
      nobody awaited this (${FIXTURE}/unhandled.proof.ts:4)

      Tests  6 failed | 3 passed | 2 skipped (11)
1 green, 6 red, 2 not run in 0.0 s; report: .e2e/proofs.html
`

describe('the terminal', () => {
  function terminal(isTTY: boolean) {
    const out = Object.assign(new PassThrough({ encoding: 'utf8' }), { isTTY, columns: 30 })
    return { out, read: () => String(out.read() ?? '') }
  }

  it('shows what runs and since when on its last line, and clears it for the next one', () => {
    vi.useFakeTimers()
    try {
      const { out, read } = terminal(true)
      const progress = createProgress(out)
      progress.start('retry.transient')
      expect(read()).toBe('  … retry.transient  0 s')
      vi.advanceTimersByTime(3_000)
      expect(read()).toContain('\r\u001b[2K  … retry.transient  3 s')
      progress.write('a line')
      expect(read()).toBe('\r\u001b[2Ka line\n  … retry.transient  3 s')
      progress.end('retry.transient')
      progress.start('a.name-that-is-longer-than-the-window-is-wide')
      expect(read()).toBe('\r\u001b[2K  … a.name-that-is-longer-tha')
      progress.close()
      expect(read()).toBe('\r\u001b[2K')
      vi.advanceTimersByTime(3_000)
      expect(read()).toBe('')
    } finally {
      vi.useRealTimers()
    }
  })

  it('is no terminal: there are the lines alone', () => {
    const { out, read } = terminal(false)
    const progress = createProgress(out)
    progress.start('retry.transient')
    writeProof(progress, GREEN)
    progress.end('retry.transient')
    progress.close()
    expect(read()).toBe(`  ✓ retry.transient         4.2 s  ${GREEN.promise}\n`)
  })

  it('cuts what a witness saw, and says so', () => {
    const { out, read } = terminal(false)
    const witnesses = RED.witnesses.map((witness) => ({ ...witness, seen: 'x'.repeat(1_000) }))
    writeProof(createProgress(out), { ...RED, witnesses })
    expect(read()).toContain(`seen ${'x'.repeat(200)} …, expected exactly 150\n`)
  })

  it.each([
    [40, '0.0 s'],
    [59_949, '59.9 s'],
    [59_950, '1 min 0 s'],
    [372_400, '6 min 12 s'],
  ])('says %d ms as %s', (ms, words) => {
    expect(durationInWords(ms)).toBe(words)
  })
})
