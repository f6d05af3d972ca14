/** `pnpm verify:lab-cycles`: the lab, up and down again and again, in every second turn by kill -9 at a random moment. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { isDeepStrictEqual, parseArgs } from 'node:util'
import { createRandom, type Random } from '@oms/e2e/random'
import { type Job, provenance, randomSeed, runJob, wholeNumber } from '@oms/e2e/verification'
import { runningLab } from '../src/lab.ts'
import { lab, MAIN, succeed } from './cli.ts'
import { type HostState, hostState } from './host.ts'

const USAGE = `pnpm verify:lab-cycles [--cycles=20] [--seed=N]
  --cycles  times up and down; every second ends by kill -9
  --seed    of whom the signal hits, and when`

/** A start takes about as long on two cores. Milliseconds. */
const KILLED_WITHIN_MS = 50_000

type Victim = 'the command' | 'the lab'

/** Kills at `atMs` after the start, or when it is up, whichever comes first. */
async function upAndKill(victim: Victim, atMs: number): Promise<void> {
  const up = spawn(process.execPath, [MAIN, 'up'], { stdio: 'ignore' })
  const ended = once(up, 'exit')
  await Promise.race([pause(atMs), ended])
  if (victim === 'the command' && up.exitCode === null) process.kill(up.pid as number, 'SIGKILL')
  const running = runningLab()
  if (victim === 'the lab' && running !== undefined) process.kill(running.pid, 'SIGKILL')
  await ended
}

async function cycle(n: number, { below, pick }: Random, say: Job['say']): Promise<void> {
  if (n % 2 === 0) {
    await succeed('up')
    await succeed('order')
    say(`${n}: up, one order`)
  } else {
    const victim: Victim = pick(['the command', 'the lab'])
    const atMs = below(KILLED_WITHIN_MS)
    await upAndKill(victim, atMs)
    say(`${n}: kill -9 of ${victim} ${(atMs / 1000).toFixed(1)} s after the start`)
  }
  await succeed('down')
}

/** What is not as it was, by kind. */
function differences(before: HostState, after: HostState): readonly string[] {
  return (Object.keys(before) as (keyof HostState)[])
    .filter((kind) => !isDeepStrictEqual(before[kind], after[kind]))
    .flatMap((kind) => [
      ...after[kind].filter((each) => !before[kind].includes(each)).map((each) => `+ ${each}`),
      ...before[kind].filter((each) => !after[kind].includes(each)).map((each) => `- ${each}`),
    ])
}

await runJob(USAGE, async ({ say, atEnd, ended }) => {
  const { values } = parseArgs({
    options: {
      cycles: { type: 'string', default: '20' },
      seed: { type: 'string', default: String(randomSeed()) },
    },
  })
  const [cycles, seed] = [
    wholeNumber('--cycles', values.cycles),
    wholeNumber('--seed', values.seed),
  ]
  const random = createRandom(seed)
  atEnd.push(() => lab('down'))
  await lab('down')
  const before = await hostState()
  let failed = 0
  for (let n = 0; n < cycles; n++) {
    ended.throwIfAborted()
    await cycle(n, random, say)
    const left = differences(before, await hostState())
    if (left.length > 0) failed += 1
    for (const each of left) console.error(each)
  }
  say(`n = ${cycles} times up and down, ${failed} left something; ${provenance(cycles, seed)}`)
  return failed === 0
})
