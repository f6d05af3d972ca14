/** Wrong input at the terminal: a sentence, nothing sent. */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { LoadtestError } from '../src/errors.ts'
import { findK6 } from '../src/k6.ts'
import { loadtest } from '../src/loadtest.ts'

async function refusal(...args: readonly string[]): Promise<string> {
  const error = await loadtest(args).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(LoadtestError)
  return (error as Error).message
}

describe('refuses with what to do', () => {
  test.each([
    ['no scenario', [], /--list/],
    ['a scenario that is not there', ['nothing'], /there are baseline, payment-503/],
    ['a profile that is not there', ['baseline', '--profile', 'x'], /there are smoke, average/],
    ['a protection that is not there', ['payment-503', '--without', 'x'], /it has retries/],
    ['a place to run k6 that is none', ['baseline', '--from', 'x'], /host or cluster/],
    [
      'an address that is not on this machine',
      ['baseline', '--url', 'https://orders.example.com'],
      /--context NAME --url https:\/\/orders\.example\.com/,
    ],
    ['a place where nobody answers', ['baseline', '--url', 'http://127.0.0.1:9'], /npm start/],
  ])('%s', async (_, args, sentence) => {
    expect(await refusal(...args)).toMatch(sentence)
  })

  test('no k6, or one that is too old', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'oms-k6-'))
    const { PATH } = process.env
    try {
      process.env['PATH'] = folder
      await expect(findK6(undefined)).rejects.toThrow(/set-up\/install-k6/)
      writeFileSync(join(folder, 'k6'), '#!/bin/sh\necho "k6 v0.57.0 (go1.23)"', { mode: 0o755 })
      await expect(findK6(undefined)).rejects.toThrow(/version 1 or later/)
      writeFileSync(join(folder, 'k6'), '#!/bin/sh\necho "k6 v1.8.1 (go1.26)"', { mode: 0o755 })
      expect(await findK6(undefined)).toBe('k6')
    } finally {
      process.env['PATH'] = PATH
      rmSync(folder, { recursive: true })
    }
  })

  test('a flag that is not there, by its name', async () => {
    await expect(loadtest(['baseline', '--x'])).rejects.toThrow(/--x/)
  })

  test('a server that is not ours, which gets one question', async () => {
    const asked: string[] = []
    const server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`)
      response.writeHead(404, { 'content-type': 'text/html' }).end('not found')
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const said = await refusal('baseline', '--url', `http://127.0.0.1:${port}`)
    server.close()
    expect(said).toMatch(/not this product's order API \(404, text\/html\)/)
    expect(asked).toEqual(['GET /api/v1/orders'])
  })
})
