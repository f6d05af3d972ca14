/** Card processors for tests: in this process, or as a process of its own that can be killed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished } from 'vitest'
import { buildProcessor } from '../src/app.ts'
import type { Charge, Refund } from '../src/wire.ts'

export interface Answer<T = Charge> {
  readonly status: number
  readonly replayed: boolean
  readonly body: T
}

export interface Failure {
  readonly error: { readonly code: string; readonly message: string }
}

export interface Client {
  charge<T = Charge>(key: string, change?: object): Promise<Answer<T>>
  refund<T = Refund>(key: string, change: object): Promise<Answer<T>>
  get<T>(path: string): Promise<Answer<T>>
}

/** A charge of 19.99 EUR for reference `ref-1`; `change` overrides members. */
function clientOf(origin: string): Client {
  async function ask<T>(path: string, init?: RequestInit): Promise<Answer<T>> {
    const response = await fetch(`${origin}${path}`, init)
    return {
      status: response.status,
      replayed: response.headers.get('idempotent-replayed') === 'true',
      body: (await response.json()) as T,
    }
  }
  const post = <T>(path: string, key: string, body: object): Promise<Answer<T>> =>
    ask(path, {
      method: 'POST',
      headers: { 'idempotency-key': key, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  return {
    charge: (key, change) =>
      post('/v1/charges', key, {
        amount: 1999,
        currency: 'EUR',
        source: 'pm_approve0001',
        merchant_reference: 'ref-1',
        ...change,
      }),
    refund: (key, change) =>
      post('/v1/refunds', key, { amount: 1999, merchant_reference: 'ref-1', ...change }),
    get: (path) => ask(path),
  }
}

/** Resolves when the first request of this key is under way. */
export async function underWay(client: Client, key: string): Promise<void> {
  // A refund of nothing is refused and stores nothing: with 404, or with 409 once the key is taken.
  await expect.poll(async () => (await client.refund(key, { charge: 'ch_none' })).status).toBe(409)
}

/** An empty folder, gone after the test. */
export function emptyFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'card-processor-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

export interface Running extends Client {
  readonly origin: string
  readonly dataDir: string
  close(): Promise<void>
}

export async function startProcessor({
  dataDir = emptyFolder(),
  seed = 'test',
  slowMs = 200,
}: {
  readonly dataDir?: string
  readonly seed?: string
  readonly slowMs?: number
} = {}): Promise<Running> {
  const processor = await buildProcessor({
    dataDir,
    seed,
    slowMs,
    pid: process.pid,
    isRunning: () => true,
  })
  const origin = await processor.server.listen({ port: 0, host: '127.0.0.1' })
  let closed: Promise<void> | undefined
  const close = (): Promise<void> => {
    closed ??= processor.close()
    return closed
  }
  onTestFinished(close)
  return { origin, dataDir, close, ...clientOf(origin) }
}

interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Spawned {
  readonly child: ChildProcess
  readonly exited: Promise<Exit>
  /** Standard output and standard error so far. */
  output(): string
}

/** Runs src/main.ts with these variables alone, or the command that `wrap` makes of it. */
export function spawnProcessor(
  env: Readonly<Record<string, string>>,
  wrap: readonly string[] = [],
): Spawned {
  const main = join(import.meta.dirname, '../src/main.ts')
  const command = [...wrap, process.execPath, main]
  const child = spawn(command[0] as string, command.slice(1), {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
    })
  const exited = new Promise<Exit>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }))
  })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  return { child, exited, output: () => text }
}

/** As `spawnProcessor`, on a free port; resolves when it listens. */
export async function spawnListening(
  env: Readonly<Record<string, string>>,
  wrap?: readonly string[],
): Promise<Spawned & Client & { readonly origin: string }> {
  const spawned = spawnProcessor({ PORT: '0', ...env }, wrap)
  const origin = await new Promise<string>((resolve, reject) => {
    spawned.child.stdout?.on('data', () => {
      const found = /Server listening at (https?:\/\/[^"]+)/.exec(spawned.output())?.[1]
      if (found !== undefined) resolve(found)
    })
    void spawned.exited.then(() => reject(new Error(spawned.output())))
  })
  return { ...spawned, origin, ...clientOf(origin) }
}
