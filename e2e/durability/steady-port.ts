/** A port that stays free while its server is down. */
import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

/**
 * Below what Linux (32768) and macOS (49152) give to outgoing connections: who looks for a server that is down would
 * now and then be given the server's own port, reach itself, and keep the server from coming back.
 */
const FROM = 15_000
const TO = 29_999
const TRIES = 50

/** By this process: its servers may listen only later. */
const given = new Set<number>()

/** @throws where none of many was free. */
export async function steadyPort(): Promise<number> {
  for (let i = 0; i < TRIES; i++) {
    const port = randomInt(FROM, TO)
    if (given.has(port)) continue
    given.add(port)
    if (await isFree(port)) return port
  }
  throw new Error(`Of ${TRIES} ports between ${FROM} and ${TO} none was free.`)
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}
