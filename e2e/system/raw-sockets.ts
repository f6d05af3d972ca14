/** What only a hand-written client sends: bytes as they are, and requests that never end. */
import { connect, type Socket } from 'node:net'

/** Sends bytes and resolves with everything that came back once the other side has closed. */
export function sendRaw(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1', () => void socket.write(bytes, 'latin1'))
  return answerOf(socket)
}

function answerOf(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let answer = ''
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1')
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(answer))
  })
}

export interface SlowSockets {
  /** How many are open yet. */
  open(): number
  /** How late a timer was at worst meanwhile: on a busy machine everybody's are. */
  lagMs(): number
  /** What each was told, and how long it lived, in ms. */
  readonly ended: Promise<readonly { readonly answer: string; readonly ms: number }[]>
}

const HEAD = 'POST /api/v1/orders HTTP/1.1\r\nhost: x\r\nx-tenant-id: slow\r\n'
const WITH_BODY = `${HEAD}content-type: application/json\r\ncontent-length: 60000\r\n\r\n`

const DRIP_MS = 500

/** Half of them never end their headers, half their body; each sends a little more every half second. */
export function openSlowSockets(count: number, port: number): SlowSockets {
  let open = count
  let lagMs = 0
  let last = performance.now()
  const sockets = Array.from({ length: count }, () => connect(port, '127.0.0.1'))
  const drip = setInterval(() => {
    lagMs = Math.max(lagMs, performance.now() - last - DRIP_MS)
    last = performance.now()
    for (const [i, socket] of sockets.entries())
      if (socket.writable) socket.write(i % 2 === 0 ? 'x-a: b\r\n' : ' ')
  }, DRIP_MS)
  const ended = Promise.all(
    sockets.map(async (socket) => {
      const since = performance.now()
      const answer = await answerOf(socket)
      open--
      if (open === 0) clearInterval(drip)
      return { answer, ms: performance.now() - since }
    }),
  )
  for (const [i, socket] of sockets.entries()) socket.write(i % 2 === 0 ? HEAD : WITH_BODY)
  return { open: () => open, lagMs: () => lagMs, ended }
}
