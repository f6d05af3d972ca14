/** What a run has started ends with it, also on Ctrl-C: programs, PostgreSQL, folders, the last one first. */

const steps: (() => Promise<unknown> | unknown)[] = []

export function atEnd(step: () => Promise<unknown> | unknown): void {
  steps.push(step)
}

/** Runs every step; one that fails does not keep the others from it. */
export async function cleanUp(): Promise<void> {
  for (let step = steps.pop(); step !== undefined; step = steps.pop())
    try {
      await step()
    } catch (error) {
      console.error((error as Error).message)
    }
}

export function cleanUpOnSignal(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => void cleanUp().then(() => process.exit(130)))
}
