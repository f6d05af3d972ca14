/** What a person at the terminal sees: one line a step, with the time since the start. */
const startedAt = performance.now()

export function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

export function step(line: string): void {
  const seconds = (performance.now() - startedAt) / 1000
  say(`${seconds.toFixed(1).padStart(7)} s  ${line}`)
}
