/** Wrong input at the terminal: a sentence, nothing sent. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, test } from 'vitest'
import { LoadtestError } from '../src/errors.ts'
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
