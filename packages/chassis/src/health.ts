/** Liveness, readiness and metrics: never through the limiter, never with a tenant, never touching a dependency. */
import type { Server } from './server.ts'

export type Phase = 'starting' | 'ready' | 'draining'

const PROBES = new Set(['/health', '/ready', '/metrics'])

export function isProbe(url: string | undefined): boolean {
  return url !== undefined && PROBES.has(url)
}

export function healthRoutes(server: Server): void {
  const config = { tenant: false }

  server.get('/health', { config }, async () => ({ status: 'ok' }))

  // No database probe: a shared outage must not take every endpoint out of the mesh.
  server.get('/ready', { config }, async (_request, reply) => {
    const { phase } = server.chassis
    return reply.code(phase === 'ready' ? 200 : 503).send({ status: phase })
  })

  server.get('/metrics', { config }, async (_request, reply) => {
    const { metrics } = server.chassis
    return reply.type(metrics.contentType).send(await metrics.expose())
  })
}
