/**
 * Preloaded into a service: at an armed fault point the process does what the file of that name in FAULTS_DIR says,
 * once. Whoever removes the file first is the one; `hits` names them in their order.
 */
import { subscribe } from 'node:diagnostics_channel'
import { appendFileSync, readFileSync, unlinkSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Action, DELAY_MS, type Fault } from './site.ts'

/** 1 s: so long a hung process is kept before it is ended, as a person or a probe would. */
const HANG_MS = 1000

const folder = process.env['FAULTS_DIR'] ?? '.'

/** Connections that others opened to this process, and that it opened to databases and services. */
const incoming = new Set<Socket>()
const outgoing = new Set<Socket>()

function track(sockets: Set<Socket>, socket: Socket): void {
  sockets.add(socket)
  socket.once('close', () => sockets.delete(socket))
}

subscribe('net.server.socket', (message) => {
  track(incoming, (message as { readonly socket: Socket }).socket)
})
const { connect } = Socket.prototype
Socket.prototype.connect = function (this: Socket, ...to: never[]) {
  track(outgoing, this)
  return connect.apply(this, to as never)
} as typeof connect

function end(): void {
  process.kill(process.pid, 'SIGKILL')
}

function never(): Promise<never> {
  return new Promise(() => undefined)
}

function cut(sockets: Set<Socket>): void {
  for (const socket of sockets) socket.destroy()
}

const actions: Readonly<Record<Action, (fault: Fault) => unknown>> = {
  crash() {
    end()
    return never()
  },
  crash_after: ({ afterMs = 0 }) => void setTimeout(end, afterMs),
  throw({ point }) {
    throw new Error(`the fault point ${point} throws`)
  },
  delay: () => sleep(DELAY_MS),
  hang() {
    setTimeout(end, HANG_MS)
    return never()
  },
  drop_response: () => cut(incoming),
  kill_connection: () => cut(outgoing),
}

/** The fault that was armed here, for this process alone. */
function claim(point: string): Fault | undefined {
  const file = join(folder, point)
  try {
    const fault = JSON.parse(readFileSync(file, 'utf8')) as Fault
    unlinkSync(file)
    return fault
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function comeBy(point: string): unknown {
  appendFileSync(join(folder, 'passed'), `${point}\n`)
  const fault = claim(point)
  if (fault === undefined) return undefined
  appendFileSync(join(folder, 'hits'), `${point}\n`)
  return actions[fault.action](fault)
}

Object.assign(globalThis, { [Symbol.for('oms.fault-point')]: comeBy })
