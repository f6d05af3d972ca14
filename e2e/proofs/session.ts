/** The arrival on a cluster and the departure: whoever runs proofs there does it by this. */
import { LabError } from '@oms/lab/command'
import { beAlone } from './alone.ts'
import { type Api, createApi } from './cluster/api.ts'
import { openJournal } from './cluster/changes.ts'
import { chooseTarget } from './cluster/choose.ts'
import { ProofsError, preflight } from './cluster/preflight.ts'
import { prepare, removeProbes } from './cluster/prepare.ts'
import { type Target, writeTarget } from './cluster/target.ts'

/** Flags of every command that runs proofs. */
export const FLAGS = {
  context: { type: 'string' },
  touch: { type: 'string', multiple: true, default: [] as string[] },
  'token-key': { type: 'string' },
  keep: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const

export const FLAGS_USAGE = `  --context    of your kubeconfig; default: its current one, else the lab
  --touch      a namespace that may be changed although it has no marker
  --token-key  PKCS 8 PEM of who signs tokens that the gateway accepts; the lab has its own
  --keep       what the proofs need stays there for the next run; without it all is taken back`

export interface SessionOptions {
  readonly context?: string | undefined
  readonly 'token-key'?: string | undefined
  readonly touch: readonly string[]
  readonly keep: boolean
}

export interface Session {
  readonly api: Api
  readonly target: Target
  /** Taken back is all that this and earlier runs changed, unless it is to be kept. */
  leave(): Promise<void>
}

/** @throws ProofsError where the proofs cannot run. */
export async function arrive(options: SessionOptions): Promise<Session> {
  const { keep, touch } = options
  const target = chooseTarget({ context: options.context, tokenKey: options['token-key'] })
  writeTarget(target)
  const api = createApi(target.context, target.kubeconfig)
  await preflight(api, target, touch)
  beAlone(target.journal, target.name)
  console.info(`The proofs run on ${target.name}.`)
  await removeProbes(api)
  const journal = openJournal(api, target.journal)
  if (!keep) await journal.undoAll()
  await prepare(api, journal.changesOf('prepare'))
  return {
    api,
    target,
    async leave() {
      if (keep) return
      await openJournal(api, target.journal).undoAll()
      await removeProbes(api)
    },
  }
}

/** Runs a command: what it throws of its own is a sentence, and wrong flags are answered with `usage`. */
export async function runCommand(usage: string, command: () => Promise<void>): Promise<void> {
  try {
    await command()
  } catch (error) {
    const isUsage = String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS')
    if (!(error instanceof ProofsError || error instanceof LabError || isUsage)) throw error
    console.error(`${(error as Error).message}${isUsage ? `\n\n${usage}` : ''}`)
    process.exitCode = isUsage ? 2 : 1
  }
}

/** Ends once, by Ctrl-C or kill. @param end what was begun. */
export function onSignal(end: () => Promise<void>): { readonly now: boolean } {
  const state = { now: false }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.once(signal, () => {
      state.now = true
      console.info('\nEnding; what was changed is taken back …')
      end().then(
        () => process.exit(130),
        (error: Error) => {
          console.error(error.message)
          process.exit(1)
        },
      )
    })
  return state
}
