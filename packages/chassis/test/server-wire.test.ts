/** What a hostile or broken client can write on a socket. */
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../src/testing.ts'
import { rawExchange, startService, type TestService } from './service.ts'

let service: TestService
let handled = 0

beforeAll(async () => {
  service = await startService((server) => {
    server.post('/things', async () => {
      handled++
      return { ok: true }
    })
  })
})

afterAll(() => service.stop())

const head = 'host: x\r\nx-tenant-id: acme\r\ncontent-type: application/json\r\n'

/** Each is refused as a whole: two readers of one connection must never disagree about where a request ends. */
const corpus: readonly [string, string][] = [
  [
    'both lengths',
    `POST /things HTTP/1.1\r\n${head}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
  ],
  [
    'both lengths, swapped',
    `POST /things HTTP/1.1\r\n${head}transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n{}`,
  ],
  [
    'two lengths',
    `POST /things HTTP/1.1\r\n${head}content-length: 2\r\ncontent-length: 3\r\n\r\n{}`,
  ],
  [
    'two equal lengths',
    `POST /things HTTP/1.1\r\n${head}content-length: 2\r\ncontent-length: 2\r\n\r\n{}`,
  ],
  ['a list of lengths', `POST /things HTTP/1.1\r\n${head}content-length: 2, 2\r\n\r\n{}`],
  ['a signed length', `POST /things HTTP/1.1\r\n${head}content-length: +2\r\n\r\n{}`],
  ['a negative length', `POST /things HTTP/1.1\r\n${head}content-length: -2\r\n\r\n{}`],
  ['a hexadecimal length', `POST /things HTTP/1.1\r\n${head}content-length: 0x2\r\n\r\n{}`],
  [
    'a length beyond numbers',
    `POST /things HTTP/1.1\r\n${head}content-length: 99999999999999999999\r\n\r\n{}`,
  ],
  [
    'a coding that is not last',
    `POST /things HTTP/1.1\r\n${head}transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
  ],
  [
    'a made-up coding',
    `POST /things HTTP/1.1\r\n${head}transfer-encoding: xchunked\r\n\r\n0\r\n\r\n`,
  ],
  [
    'a malformed chunk size',
    `POST /things HTTP/1.1\r\n${head}transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n`,
  ],
  [
    'a chunk without its end',
    `POST /things HTTP/1.1\r\n${head}transfer-encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n`,
  ],
  ['an unknown method', `FROB /things HTTP/1.1\r\n${head}\r\n`],
  ['a method in lower case', `post /things HTTP/1.1\r\n${head}content-length: 2\r\n\r\n{}`],
  [
    'a folded header',
    `POST /things HTTP/1.1\r\n${head}x-a: b\r\n c\r\ncontent-length: 2\r\n\r\n{}`,
  ],
  ['a space before the colon', `POST /things HTTP/1.1\r\n${head}content-length : 2\r\n\r\n{}`],
  [
    'a bare carriage return in a header',
    `POST /things HTTP/1.1\r\n${head}x-a: b\rx-b: c\r\ncontent-length: 2\r\n\r\n{}`,
  ],
  ['a NUL in a header', `POST /things HTTP/1.1\r\n${head}x-a: b\0c\r\ncontent-length: 2\r\n\r\n{}`],
  ['a header without a name', `POST /things HTTP/1.1\r\n${head}: b\r\ncontent-length: 2\r\n\r\n{}`],
  [
    'a header without a colon',
    `POST /things HTTP/1.1\r\n${head}nonsense\r\ncontent-length: 2\r\n\r\n{}`,
  ],
  ['bare line feeds', `POST /things HTTP/1.1\n${head.replaceAll('\r', '')}content-length: 2\n\n{}`],
  ['another version', `POST /things HTTP/3.7\r\n${head}content-length: 2\r\n\r\n{}`],
  ['no version', `POST /things\r\n${head}content-length: 2\r\n\r\n{}`],
  ['a raw space in the address', `POST /thi ngs HTTP/1.1\r\n${head}content-length: 2\r\n\r\n{}`],
  [
    'no host',
    'POST /things HTTP/1.1\r\nx-tenant-id: acme\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}',
  ],
  ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
]

describe('bytes that are no request', () => {
  test.each(corpus)('get 400 and the end of the connection: %s', async (_what, bytes) => {
    handled = 0
    const answer = await rawExchange(service.port, Buffer.from(bytes, 'latin1'))
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/)
    expect(answer.toLowerCase()).toContain('connection: close')
    // One answer, not one per guess about where the next request begins.
    expect(answer.match(/^HTTP\/1\.1 \d/gm)).toHaveLength(1)
    expect(handled).toBe(0)
  })

  test('are answered with a problem', async () => {
    const answer = await rawExchange(service.port, 'FROB / HTTP/1.1\r\n\r\n')
    const [headers = '', body = ''] = answer.split('\r\n\r\n')
    expect(headers).toContain('content-type: application/problem+json')
    expect(headers).toContain('cache-control: no-store')
    expect(JSON.parse(body)).toMatchObject({
      type: 'https://oms.example/problems/invalid-request',
      status: 400,
      outcome: 'not_executed',
      instance: '/',
    })
  })
})

describe('headers', () => {
  test.each(['acme', 'globex'])(
    'that name a tenant in two lines, the second %s, are 400: neither is believed',
    async (second) => {
      const request = `POST /things HTTP/1.1\r\n${head}x-tenant-id: ${second}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}`
      handled = 0
      expect(await rawExchange(service.port, request)).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/)
      expect(handled).toBe(0)
    },
  )

  test('above 16 KiB are 431, however much follows', async () => {
    const filler = `x-filler: ${'x'.repeat(1000)}\r\n`.repeat(100)
    const answer = await rawExchange(service.port, `POST /things HTTP/1.1\r\n${head}${filler}\r\n`)
    expect(answer).toMatch(/^HTTP\/1\.1 431 Request Header Fields Too Large\r\n/)
    expect(answer).toContain('https://oms.example/problems/request-header-fields-too-large')
  })

  test('of 15 KiB are taken', async () => {
    const filler = `x-filler: ${'x'.repeat(1000)}\r\n`.repeat(15)
    const request = `POST /things HTTP/1.1\r\n${head}${filler}connection: close\r\n\r\n`
    expect(await rawExchange(service.port, request)).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
  })
})

describe('a slow client', () => {
  /** Writes one byte of `text` every 200 ms, for as long as the other side listens or `bytes` last. */
  function drip(socket: Socket, text: string, bytes: number): void {
    let sent = 0
    const timer = setInterval(() => {
      if (sent < bytes) socket.write(text[sent++ % text.length] as string)
    }, 200)
    socket.on('close', () => clearInterval(timer))
  }

  test('has 10 s for its request and 15 s of silence, checked every second', () => {
    const { server } = service.server
    expect({
      headers: server.headersTimeout,
      request: server.requestTimeout,
      silence: server.timeout,
      keepAlive: server.keepAliveTimeout,
    }).toEqual({ headers: 10_000, request: 10_000, silence: 15_000, keepAlive: 72_000 })
  })

  test('is cut off at its time limit, and so are 500; others are served meanwhile', async () => {
    const own = await startService((server) => {
      server.post('/things', async () => {
        handled++
        return { ok: true }
      })
    })
    handled = 0
    // The limits of the test above, made short; the rest is as it is.
    own.server.server.headersTimeout = 1000
    own.server.server.requestTimeout = 1000
    const closed: { readonly steady: boolean; readonly text: string }[] = []
    const sockets = Array.from({ length: 500 }, (_, i) => {
      const socket = connect(own.port, '127.0.0.1')
      const steady = i % 4 < 2
      const bytes = steady ? Number.POSITIVE_INFINITY : 2
      let text = ''
      socket.on('data', (chunk) => {
        text += chunk
      })
      socket.on('error', () => undefined)
      socket.on('close', () => closed.push({ steady, text }))
      if (i % 2 === 0) {
        socket.write('POST /things HTTP/1.1\r\nhost: x\r\nx-tenant-id: acme\r\n')
        drip(socket, 'x-a: b\r\n', bytes)
      } else {
        socket.write(`POST /things HTTP/1.1\r\n${head}content-length: 60000\r\n\r\n`)
        drip(socket, ' ', bytes)
      }
      return socket
    })
    const others: number[] = []
    while (closed.length < sockets.length) {
      others.push((await own.post('/things', {})).status)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    const told = closed.filter(({ text }) => /^HTTP\/1\.1 408 .*\/request-timeout"/s.test(text))
    expect(told.filter(({ steady }) => !steady)).toHaveLength(250)
    // Of those that write on, a byte may cross the answer and reset the connection before it is read.
    expect(closed.filter((each) => !told.includes(each) && each.text !== '')).toEqual([])
    const served = others.filter((status) => status === 200)
    expect(served.length / others.length).toBeGreaterThanOrEqual(0.95)
    // None of the slow ones ran.
    expect(handled).toBe(served.length)
    await eventually('every permit back', () => own.server.chassis.limiter.stats().inFlight === 0)
    await own.stop()
  }, 60_000)

  test('that the handler’s time limit finds first hears 408 as well: a 503 would eject this instance', async () => {
    const own = await startService((server) => {
      server.post('/things', { config: { handlerTimeoutMs: 50 } }, async () => ({ ok: true }))
    })
    const answer = await rawExchange(
      own.port,
      `POST /things HTTP/1.1\r\n${head}content-length: 60000\r\n\r\n{`,
    )
    expect(answer).toMatch(/^HTTP\/1\.1 408 .*\r\nconnection: close\r\n.*\/request-timeout"/is)
    await own.stop()
  })

  test('that completes its request after it was refused is not served', async () => {
    const own = await startService((server) => {
      server.post('/things', async () => {
        handled++
        return { ok: true }
      })
    })
    own.server.server.headersTimeout = 100
    own.server.server.requestTimeout = 100
    handled = 0
    const refused = new Promise((resolve) =>
      own.server.server.once('connection', (end: Socket) => end.once('close', resolve)),
    )
    // Half open, or this side would end its writing with the answer.
    const socket = connect({ port: own.port, host: '127.0.0.1', allowHalfOpen: true })
    socket.on('error', () => undefined)
    socket.write(`POST /things HTTP/1.1\r\n${head}`)
    await new Promise<void>((resolve) => socket.once('data', () => resolve()))
    socket.write('content-length: 2\r\n\r\n{}')
    await refused
    expect(handled).toBe(0)
    socket.destroy()
    await own.stop()
  })
})
