/** Serves for the one that measures: tells it the port, and its own CPU time whenever it is asked. */
import type { AddressInfo } from 'node:net'

interface Listening {
  listen(options: { readonly host: string; readonly port: number }): Promise<string>
  readonly server: { address(): AddressInfo | string | null }
}

export async function serveMeasured(server: Listening): Promise<void> {
  await server.listen({ host: '127.0.0.1', port: 0 })
  process.on('message', () => {
    const { user, system } = process.cpuUsage()
    process.send?.({ cpuMicros: user + system })
  })
  // Whoever measures is gone: so are we.
  process.on('disconnect', () => process.exit(0))
  process.send?.({ port: (server.server.address() as AddressInfo).port })
}
