/** Lines on a terminal, and on its last line what runs now. Where no person looks there are the lines alone. */
import { styleText } from 'node:util'
import type { ProofResult } from './result.ts'
import { durationInWords, seenInWords } from './words.ts'

/** Process.stdout, or what stands for it. */
export type Output = NodeJS.WritableStream & {
  readonly isTTY?: boolean
  readonly columns?: number
}

export type Progress = ReturnType<typeof createProgress>

const CLEAR_LINE = '\r\u001b[2K'
/** A witness may have seen a thousand lines; the report has them all. */
const SEEN_LENGTH = 200

const SIGNS = {
  green: ['✓', 'green'],
  red: ['✗', 'red'],
  'not run': ['–', 'gray'],
} as const

export function createProgress(out: Output) {
  const running = new Map<string, number>()
  let shown = false
  let timer: NodeJS.Timeout | undefined

  function clear(): void {
    if (shown) out.write(CLEAR_LINE)
    shown = false
  }

  function draw(): void {
    clear()
    const [first] = running
    if (!out.isTTY || first === undefined) return
    const [name, since] = first
    const seconds = Math.floor((Date.now() - since) / 1_000)
    // A line that wraps could not be cleared.
    out.write(`  … ${name}  ${seconds} s`.slice(0, (out.columns || 80) - 1))
    shown = true
  }

  return {
    paint(colour: 'green' | 'red' | 'gray' | 'bold', text: string): string {
      return styleText(colour, text, { stream: out })
    },
    /** Whole lines, above what runs. */
    write(text: string): void {
      clear()
      out.write(text.endsWith('\n') ? text : `${text}\n`)
      draw()
    },
    start(name: string): void {
      running.set(name, Date.now())
      if (out.isTTY) timer ??= setInterval(draw, 1_000).unref()
      draw()
    },
    end(name: string): void {
      running.delete(name)
      draw()
    },
    close(): void {
      clearInterval(timer)
      running.clear()
      clear()
    },
  }
}

/** A line, and below it what speaks against the promise. */
export function writeProof(
  { paint, write }: Progress,
  { name, promise, outcome, reason, atAssertion, witnesses, durationMs }: ProofResult,
): void {
  const [sign, colour] = SIGNS[outcome]
  const notRun = outcome === 'not run'
  const took = notRun ? '' : durationInWords(durationMs)
  const said = notRun ? `not run: ${reason ?? 'no reason given'}` : promise
  write(`  ${paint(colour, sign)} ${name.padEnd(22)} ${took.padStart(6)}  ${said}`.trimEnd())
  if (outcome !== 'red') return
  const failed = witnesses.filter(({ holds }) => !holds)
  for (const witness of failed) {
    const seen = shortened(seenInWords(witness))
    write(
      `      ${witness.source}  ${witness.what}: seen ${paint('red', seen)}, expected ${witness.expected}`,
    )
  }
  if (!atAssertion || failed.length === 0)
    write(`      ${paint('red', reason ?? 'no reason given')}`)
}

function shortened(text: string): string {
  return text.length > SEEN_LENGTH ? `${text.slice(0, SEEN_LENGTH)} …` : text
}
