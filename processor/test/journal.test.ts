import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test, vi } from 'vitest'
import { StartError } from '../src/config.ts'
import { type Journal, openJournal } from '../src/journal.ts'
import type { Charge } from '../src/wire.ts'
import {
  type Answer,
  type Client,
  emptyFolder,
  type Failure,
  spawnListening,
  spawnProcessor,
  startProcessor,
} from './running.ts'

interface Word {
  readonly word: string
}

async function opened(
  path: string,
): Promise<{ readonly journal: Journal<Word>; readonly words: string[] }> {
  const words: string[] = []
  const journal = await openJournal<Word>({
    path,
    apply: ({ word }) => words.push(word),
    pid: process.pid,
    isRunning: () => true,
  })
  return { journal, words }
}

/** A file of these words, and its lines. */
async function written(words: readonly string[]): Promise<{ path: string; bytes: Buffer }> {
  const path = join(emptyFolder(), 'words.jsonl')
  const { journal } = await opened(path)
  for (const word of words) await journal.append({ word })
  await journal.close()
  return { path, bytes: readFileSync(path) }
}

async function wholeLedger(client: Client): Promise<Map<string, Charge>> {
  const byId = new Map<string, Charge>()
  for (let path = '/v1/charges?limit=1000'; ; ) {
    const { data, has_more } = (
      await client.get<{ readonly data: readonly Charge[]; readonly has_more: boolean }>(path)
    ).body
    for (const charge of data) byId.set(charge.id, charge)
    if (!has_more) return byId
    path = `/v1/charges?limit=1000&after=${data.at(-1)?.id}`
  }
}

/** Holds every fsync of file contents until `release`; counts them. */
async function holdFsync() {
  const handle = await open('/dev/null')
  const prototype = Object.getPrototypeOf(handle) as FileHandle
  await handle.close()
  const real = prototype.datasync
  const gate = Promise.withResolvers<void>()
  const datasync = vi.spyOn(prototype, 'datasync').mockImplementation(async function (
    this: FileHandle,
  ) {
    await gate.promise
    await real.call(this)
  })
  return {
    release: gate.resolve,
    count: () => datasync.mock.calls.length,
    restore: () => datasync.mockRestore(),
  }
}

describe('what was acknowledged', () => {
  test('is on disk before the answer leaves, and readable only then', async () => {
    const processor = await startProcessor()
    const fsync = await holdFsync()
    try {
      let answered = false
      const answer = processor.charge('k1').then((each) => {
        answered = true
        return each
      })
      await expect.poll(fsync.count).toBe(1)
      const { body } = await processor.get('/v1/charges?merchant_reference=ref-1')
      expect({ answered, body }).toEqual({ answered: false, body: { data: [] } })
      fsync.release()
      expect((await answer).status).toBe(200)
    } finally {
      fsync.restore()
    }
  })

  test('shares one fsync among all that wait', async () => {
    const { journal } = await opened(join(emptyFolder(), 'words.jsonl'))
    const fsync = await holdFsync()
    try {
      const appends = Array.from({ length: 50 }, (_, i) => journal.append({ word: `w${i}` }))
      fsync.release()
      await Promise.all(appends)
      expect(fsync.count()).toBe(2)
    } finally {
      fsync.restore()
    }
    await journal.close()
  })

  test('survives kill -9, every charge of it, unchanged, and keys still answer it', async () => {
    const dataDir = emptyFolder()
    const killed = await spawnListening({ DATA_DIR: dataDir })
    const acknowledged: Charge[] = []
    let next = 0
    async function chargeOn(): Promise<void> {
      for (;;) {
        const number = next
        next += 1
        const answer = await killed
          .charge(`k${number}`, { merchant_reference: `ref-${number}`, amount: number + 1 })
          .catch(() => undefined)
        if (answer === undefined) return
        acknowledged.push(answer.body)
        if (acknowledged.length === 500) killed.child.kill('SIGKILL')
      }
    }
    await Promise.all(Array.from({ length: 16 }, chargeOn))
    expect((await killed.exited).signal).toBe('SIGKILL')

    const restarted = await spawnListening({ DATA_DIR: dataDir })
    const kept = await wholeLedger(restarted)
    expect(acknowledged.length).toBeGreaterThanOrEqual(500)
    expect(acknowledged.filter(({ id }) => !kept.has(id))).toEqual([])
    for (const charge of acknowledged) expect(kept.get(charge.id)).toEqual(charge)
    expect(new Set([...kept.values()].map((each) => each.idempotency_key)).size).toBe(kept.size)
    expect(await restarted.charge('k0', { merchant_reference: 'ref-0', amount: 1 })).toMatchObject({
      status: 200,
      replayed: true,
    })
  })

  test('stays safe on a full disk: nothing more is taken until a restart', async () => {
    const dataDir = emptyFolder()
    const limited = await spawnListening({ DATA_DIR: dataDir }, [
      'sh',
      '-c',
      'ulimit -f 8; exec "$@"',
      'sh',
    ])
    const acknowledged: Charge[] = []
    let answer: Answer<Charge | Failure>
    do {
      answer = await limited.charge<Charge | Failure>(`k${acknowledged.length}`)
      if (answer.status === 200) acknowledged.push(answer.body as Charge)
    } while (answer.status === 200 && acknowledged.length < 1000)
    expect(answer).toMatchObject({ status: 503, body: { error: { code: 'ledger_unavailable' } } })
    expect((await limited.charge('later')).status).toBe(503)
    expect((await limited.get('/health')).status).toBe(503)
    expect((await limited.get(`/v1/charges/${acknowledged[0]?.id}`)).status).toBe(200)
    limited.child.kill('SIGTERM')
    expect((await limited.exited).code).toBe(0)

    const restarted = await spawnListening({ DATA_DIR: dataDir })
    expect([...(await wholeLedger(restarted)).values()]).toEqual(acknowledged)
    expect(restarted.output()).toContain('cut a torn last line off the ledger')
    expect((await restarted.charge(`k${acknowledged.length}`)).replayed).toBe(false)
  })

  test('takes nothing more after one failed fsync, not even what waited, though the disk recovered', async () => {
    const path = join(emptyFolder(), 'words.jsonl')
    const { journal, words } = await opened(path)
    await journal.append({ word: 'one' })
    const handle = await open('/dev/null')
    const datasync = vi
      .spyOn(Object.getPrototypeOf(handle) as FileHandle, 'datasync')
      .mockRejectedValueOnce(new Error('EIO'))
    await handle.close()
    try {
      const refused = await Promise.allSettled([
        journal.append({ word: 'two' }),
        journal.append({ word: 'three' }),
      ])
      refused.push(...(await Promise.allSettled([journal.append({ word: 'four' })])))
      expect(refused.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
      expect(journal.failure()?.message).toContain('Free space or repair the disk, then restart')
      expect(words).toEqual(['one'])
      expect(readFileSync(path, 'utf8')).not.toMatch(/three|four/)
    } finally {
      datasync.mockRestore()
    }
    await journal.close()
  })
})

describe('a torn last line', () => {
  test('is cut off wherever the crash tore it, and appending goes on behind the whole lines', async () => {
    const { path, bytes } = await written(['one', 'two', 'three'])
    const whole = bytes.lastIndexOf('\n', bytes.length - 2) + 1
    for (let length = whole + 1; length < bytes.length; length += 1) {
      writeFileSync(path, bytes.subarray(0, length))
      const { journal, words } = await opened(path)
      expect({ words, tornBytes: journal.tornBytes }).toEqual({
        words: ['one', 'two'],
        tornBytes: length - whole,
      })
      await journal.append({ word: 'again' })
      await journal.close()
      const reread = await opened(path)
      expect(reread.words).toEqual(['one', 'two', 'again'])
      expect(reread.journal.tornBytes).toBe(0)
      await reread.journal.close()
    }
  })
})

describe('a damaged line', () => {
  test('refuses the start whichever byte changed, says what to do and changes nothing', async () => {
    const { path, bytes } = await written(['one', 'two', 'three'])
    const start = bytes.indexOf('\n') + 1
    const end = bytes.indexOf('\n', start)
    for (let at = start; at <= end; at += 1) {
      const damaged = Buffer.from(bytes)
      damaged[at] = (damaged[at] as number) ^ 1
      writeFileSync(path, damaged)
      await expect(opened(path)).rejects.toThrow(StartError)
      await expect(opened(path)).rejects.toThrow(`Line 2 of the ledger ${path} is damaged`)
      expect(readFileSync(path)).toEqual(damaged)
    }
    await expect(opened(path)).rejects.toThrow('Put a copy of the file back, or empty DATA_DIR')
  })

  test('refuses the start when a line is missing', async () => {
    const { path, bytes } = await written(['one', 'two', 'three'])
    const lines = bytes.toString().split('\n')
    writeFileSync(path, [lines[0], lines[2], ''].join('\n'))
    await expect(opened(path)).rejects.toThrow('it should be entry 2, not 3')
  })

  test('ends the program with 1 and one sentence', async () => {
    const dataDir = emptyFolder()
    writeFileSync(join(dataDir, 'ledger.jsonl'), 'nonsense\n')
    const refused = spawnProcessor({ DATA_DIR: dataDir })
    expect(await refused.exited).toEqual({ code: 1, signal: null })
    expect(refused.output().trim().split('\n')).toHaveLength(1)
    expect(refused.output()).toContain('is damaged: it is no entry of this ledger')
    expect(statSync(join(dataDir, 'ledger.jsonl')).size).toBe(9)
  })
})

describe('the folder', () => {
  test('belongs to one process; the second is refused and the first goes on', async () => {
    const dataDir = join(emptyFolder(), 'made/on/start')
    const first = await spawnListening({ DATA_DIR: dataDir })
    const second = spawnProcessor({ DATA_DIR: dataDir, PORT: '0' })
    expect((await second.exited).code).toBe(1)
    expect(second.output()).toContain(`is open in process ${first.child.pid}`)
    expect((await first.charge('k1')).status).toBe(200)
  })

  test('is free again after its process was killed', async () => {
    const { path } = await written(['one'])
    writeFileSync(`${path}.lock`, '12345')
    const words: string[] = []
    const journal = await openJournal<Word>({
      path,
      apply: ({ word }) => words.push(word),
      pid: process.pid,
      isRunning: () => false,
    })
    expect(words).toEqual(['one'])
    await journal.close()
  })
})
