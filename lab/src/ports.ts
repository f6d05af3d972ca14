/** The lab's doors on the host: loopback ports, and what each leads to. */
import { createServer, type Server } from 'node:net'
import { LabError } from './command.ts'
import type { Target } from './node/forwards.ts'
import { API_PORT } from './node/layout.ts'

export interface Door extends Target {
  /** On 127.0.0.1 of the host. */
  readonly hostPort: number
}

export const DOORS = {
  kubernetes: { hostPort: 16443, host: '127.0.0.1', port: API_PORT },
  gateway: {
    hostPort: 8443,
    host: 'istio-ingressgateway.istio-ingress.svc.cluster.local',
    port: 443,
  },
  jaeger: { hostPort: 16686, host: 'jaeger-query.jaeger.svc.cluster.local', port: 16686 },
  prometheus: { hostPort: 9090, host: 'prometheus.monitoring.svc.cluster.local', port: 9090 },
} as const satisfies Readonly<Record<string, Door>>

export type DoorName = keyof typeof DOORS
export const DOOR_NAMES = Object.keys(DOORS) as readonly DoorName[]

/** Listens on the host's port of each door. @throws LabError naming the port that is taken. */
export async function openDoors(
  portOffset: number,
): Promise<readonly { readonly target: Target; readonly listening: Server }[]> {
  const opened = await Promise.allSettled(
    DOOR_NAMES.map(async (name) => {
      const { hostPort, ...target } = DOORS[name]
      return { target, listening: await listen(name, hostPort + portOffset) }
    }),
  )
  const failed = opened.find((each) => each.status === 'rejected')
  const doors = opened.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  if (failed === undefined) return doors
  // One that stays open would keep this process alive.
  for (const { listening } of doors) listening.close()
  throw failed.reason
}

function listen(name: DoorName, port: number): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer({ pauseOnConnect: true })
    server.once('error', ({ code }: NodeJS.ErrnoException) =>
      reject(
        new LabError(
          `Port ${port} on 127.0.0.1, for ${name}, ${code === 'EADDRINUSE' ? 'is taken' : `cannot be used (${code})`}. Stop what listens there, or move all ports: pnpm lab up --port-offset 1000`,
        ),
      ),
    )
    server.listen(port, '127.0.0.1', () => resolve(server))
  })
}
