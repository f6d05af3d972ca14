/**
 * From the host into the lab: the host's process listens on 127.0.0.1 and hands the listening socket over. A socket
 * stays in the network it was made in, so its connections arrive here, and what they ask for is dialled from here.
 */
import { Resolver } from 'node:dns/promises'
import { connect, type Server, type Socket } from 'node:net'
import { NETWORK } from './layout.ts'

export interface Target {
  /** An address, or the name of a Service that may not be there yet. */
  readonly host: string
  readonly port: number
}

/** A datagram may be lost, and its question is asked again, as a pod's resolver does. */
const resolver = new Resolver({ timeout: 1000, tries: 4 })
resolver.setServers([NETWORK.dns])

export function forward(listening: Server, { host, port }: Target): void {
  listening.on('connection', (from: Socket) => {
    // The other side is told by the closed connection.
    from.on('error', () => from.destroy())
    addressOf(host).then(
      (address) => {
        const to = connect(port, address)
        to.on('error', () => from.destroy())
        from.on('close', () => to.destroy())
        to.on('close', () => from.destroy())
        from.pipe(to).pipe(from)
      },
      () => from.destroy(),
    )
  })
}

async function addressOf(host: string): Promise<string> {
  if (/^[\d.]+$/.test(host)) return host
  const [address] = await resolver.resolve4(host)
  if (address === undefined) throw new Error(`${host} has no address`)
  return address
}
