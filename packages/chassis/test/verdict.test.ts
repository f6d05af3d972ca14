import { beforeAll, describe, expect, test } from 'vitest'
import { underDeadline } from '../src/context.ts'
import { startTelemetry } from '../src/telemetry.ts'
import { awaitVerdict, createPatience, withinDeadline } from '../src/verdict.ts'

// Deadlines ride in OpenTelemetry's context.
beforeAll(() => {
  startTelemetry({ serviceName: 'x', exporter: 'none', url: 'http://127.0.0.1:9/', ratio: 0 })
})

const isFinal = (value: string) => value === 'final'

/** Counts how often it was asked. */
function reader(...answers: readonly string[]) {
  let reads = 0
  return {
    reads: () => reads,
    read: async () => answers[Math.min(reads++, answers.length - 1)] as string,
  }
}

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; ms: number }> {
  const started = performance.now()
  return { value: await work(), ms: performance.now() - started }
}

describe('waiting for a verdict', () => {
  test('asks nobody where it is there', async () => {
    const { read, reads } = reader('final')
    expect(await awaitVerdict('final', isFinal, read)).toBe('final')
    expect(reads()).toBe(0)
  })

  test('ends with the first final read', async () => {
    const { read, reads } = reader('open', 'final', 'open')
    expect(await awaitVerdict('open', isFinal, read)).toBe('final')
    expect(reads()).toBe(2)
  })

  test('ends 200 ms before the deadline with the last that was read', async () => {
    const { read } = reader('open')
    const { value, ms } = await timed(() =>
      underDeadline(500, () => awaitVerdict('open', isFinal, read)),
    )
    expect(value).toBe('open')
    expect(ms).toBeGreaterThanOrEqual(290)
    expect(ms).toBeLessThan(480)
  })

  test('ends after 1.5 s without a deadline, having asked at 50 → 200 ms', async () => {
    const { read, reads } = reader('open')
    const { ms } = await timed(() => awaitVerdict('open', isFinal, read))
    expect(ms).toBeGreaterThanOrEqual(1490)
    expect(ms).toBeLessThan(2000)
    expect(reads()).toBeGreaterThanOrEqual(5)
    expect(reads()).toBeLessThanOrEqual(9)
  })

  test('is woken by the work in this process', async () => {
    const { read, reads } = reader('open')
    expect(await awaitVerdict('open', isFinal, read, Promise.resolve('final'))).toBe('final')
    expect(reads()).toBe(0)
  })

  test.each([
    ['ended without a verdict', () => Promise.resolve('open')],
    ['failed', () => Promise.reject(new Error('no'))],
  ])('keeps its pace where that work %s', async (_what, work) => {
    const { read, reads } = reader('open')
    await underDeadline(600, () => awaitVerdict('open', isFinal, read, work()))
    expect(reads()).toBeLessThanOrEqual(6)
  })
})

describe('work within the deadline', () => {
  test('gives its result', async () => {
    expect(await underDeadline(500, () => withinDeadline(Promise.resolve(1)))).toBe(1)
    expect(await withinDeadline(Promise.resolve(1))).toBe(1)
  })

  test('gives nothing once the answer is due', async () => {
    const { value, ms } = await timed(() =>
      underDeadline(100, () => withinDeadline(new Promise(() => undefined))),
    )
    expect(value).toBeUndefined()
    expect(ms).toBeLessThan(400)
  })

  test('throws what the work throws', async () => {
    const failing = withinDeadline(Promise.reject(new Error('no')))
    await expect(failing).rejects.toThrow('no')
  })

  test('is shared by duplicates under its key, and goes on after the answer', async () => {
    const patience = createPatience({ workMs: 5000 })
    let end: ((value: string) => void) | undefined
    const work = () =>
      new Promise<string>((resolve) => {
        end = resolve
      })
    expect(await underDeadline(60, () => patience.within('k', work))).toBeUndefined()
    const duplicate = patience.until('k', 'open', isFinal, async () => 'open')
    end?.('final')
    expect(await duplicate).toBe('final')
  })
})
