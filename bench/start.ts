/** From spawn to the first 200 on /health, and the memory of the processes, idle and after load. */
import { readFileSync } from 'node:fs'
import { get } from 'node:http'
import { SERVICES } from '@oms/e2e/system'
import { createHttpPlacing, drive } from './load.ts'
import type { Row } from './report.ts'
import { interleave } from './statistics.ts'
import type { World } from './world.ts'

const AT_MOST_MS = 300
const AT_MOST_MB = 100
const STARTS = 11
/** Each process has made its connections by then. */
const IDLE_AFTER_MS = 1000
const LOAD_MS = 10_000
const CALLERS = 32

export async function measureStart(
  world: World,
  tell: (line: string) => void,
  starts = STARTS,
): Promise<readonly Row[]> {
  const system = await world.system('simulated')
  tell(`start: ${starts} × three bundles`)
  // Once, for the page cache: what comes after is the program's, not the disk's.
  for (const service of SERVICES) await coldStart(service)
  const measured = await interleave(starts, {
    order: () => coldStart('order'),
    payment: () => coldStart('payment'),
    inventory: () => coldStart('inventory'),
  })

  tell(`start: memory after ${LOAD_MS / 1000} s with ${CALLERS} callers`)
  await system.start()
  const placing = createHttpPlacing(system.urls.order)
  const { confirmed } = await drive(placing.place, CALLERS, LOAD_MS)
  await placing.close()
  const loaded = SERVICES.map((service) => residentMb(system.programs[service].pid()))
  await system.stop()

  return [
    ...SERVICES.map((service) => ({
      what: `${service}: spawn to the first 200 on /health`,
      unit: 'ms',
      values: measured[service].map(({ ms }) => ms),
      bar: { on: 'median', atMost: AT_MOST_MS } as const,
    })),
    ...SERVICES.map((service) => ({
      what: `${service}: memory (RSS), idle`,
      unit: 'MB',
      values: measured[service].map(({ idleMb }) => idleMb),
      bar: { on: 'median', atMost: AT_MOST_MB } as const,
    })),
    ...SERVICES.map((service, index) => ({
      what: `${service}: memory (RSS) after ${confirmed} orders`,
      unit: 'MB',
      values: [loaded[index] as number],
      bar: { on: 'median', atMost: AT_MOST_MB } as const,
    })),
  ]

  async function coldStart(service: (typeof SERVICES)[number]) {
    const program = system.programs[service]
    const startedAt = performance.now()
    const starting = program.start()
    // A failure of the start is told by `starting`.
    while (!(await isHealthy(system.urls[service]))) {
      if (performance.now() - startedAt > 10_000) break
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
    const ms = performance.now() - startedAt
    await starting
    await new Promise((resolve) => setTimeout(resolve, IDLE_AFTER_MS))
    const idleMb = residentMb(program.pid())
    await program.stop()
    return { ms, idleMb }
  }
}

function isHealthy(origin: string): Promise<boolean> {
  return new Promise((resolve) => {
    get(`${origin}/health`, { agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode === 200)
    }).on('error', () => resolve(false))
  })
}

/** Linux tells it; elsewhere NaN. 1 MB = 10⁶ bytes. */
function residentMb(pid: number | undefined): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return (Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024) / 1e6
}
