/**
 * What the chassis costs: CPU of the server process a request, against bare Fastify with the same route. Server and
 * load have a core each where `taskset` is there; the control also runs against itself, which shows the noise.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { atEnd } from './clean-up.ts'
import type { Row } from './report.ts'
import { interleave, ratiosOf } from './statistics.ts'

/** Stack budget: tracing, one log line, histogram and admission included. */
const AT_MOST_TIMES_BARE = 3.5
const WARM_UP_S = 2
const ROUND_S = 2
const ROUNDS = 7

interface Cost {
  readonly cpuMicros: number
  readonly perSecond: number
}

interface Measured {
  /** CPU a request over so many seconds of load. @throws where an answer was not a success. */
  cost(seconds: number): Promise<Cost>
}

export async function measureChassis(
  tell: (line: string) => void,
  rounds = ROUNDS,
): Promise<readonly Row[]> {
  const pin = await pinning()
  const collector = await startCollector()
  const [bare, again, chassis, exporting] = await Promise.all([
    startServer('bare.ts', {}, pin),
    startServer('bare.ts', {}, pin),
    startServer('chassis.ts', CONFIG, pin),
    startServer('chassis.ts', { ...CONFIG, TRACE_EXPORTER: 'zipkin', TRACE_URL: collector }, pin),
  ])
  tell(`chassis: warming up, then ${rounds} rounds of 4 × ${ROUND_S} s`)
  for (const server of [bare, again, chassis, exporting]) await server.cost(WARM_UP_S)
  const costs = await interleave(rounds, {
    bare: () => bare.cost(ROUND_S),
    again: () => again.cost(ROUND_S),
    chassis: () => chassis.cost(ROUND_S),
    exporting: () => exporting.cost(ROUND_S),
  })
  const cpu = (name: keyof typeof costs) => costs[name].map(({ cpuMicros }) => cpuMicros)
  const perSecond = (name: keyof typeof costs) => costs[name].map((each) => each.perSecond)
  const against = (name: keyof typeof costs) => ({
    control: 'bare',
    ratios: ratiosOf(cpu(name), cpu('bare')),
  })
  const bar = { on: 'ratio', atMost: AT_MOST_TIMES_BARE } as const
  const unit = 'µs CPU/request'
  return [
    { what: 'bare Fastify', unit, values: cpu('bare') },
    {
      what: 'bare Fastify once more (noise)',
      unit,
      values: cpu('again'),
      against: against('again'),
    },
    { what: 'chassis', unit, values: cpu('chassis'), against: against('chassis'), bar },
    {
      what: 'chassis, 10 % of traces exported (Zipkin)',
      unit,
      values: cpu('exporting'),
      against: against('exporting'),
      bar,
    },
    { what: 'bare Fastify, one core', unit: 'requests/s', values: perSecond('bare') },
    {
      what: 'chassis, one core',
      unit: 'requests/s',
      values: perSecond('chassis'),
      against: { control: 'bare', ratios: ratiosOf(perSecond('chassis'), perSecond('bare')) },
    },
  ]
}

/** What a service must be told; all else is its default. */
const CONFIG = { DEPLOYMENT: 'local', DATABASE_URL: 'postgres://unused@127.0.0.1:1/unused' }

type Pin = (core: 'server' | 'load', command: readonly string[]) => readonly string[]

/** Two cores, one for each side; on other systems the scheduler decides. */
async function pinning(): Promise<Pin> {
  const cores = { server: '0', load: '1' }
  const works =
    availableParallelism() > 1 &&
    (await promisify(execFile)('taskset', ['-c', '0,1', 'true']).then(
      () => true,
      () => false,
    ))
  return (core, command) => (works ? ['taskset', '-c', cores[core], ...command] : command)
}

async function startServer(
  program: string,
  env: Readonly<Record<string, string>>,
  pin: Pin,
): Promise<Measured> {
  const [command = '', ...args] = pin('server', [process.execPath, path(program)])
  const nowhere = openSync('/dev/null', 'w')
  const child = spawn(command, args, {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', nowhere, 'inherit', 'ipc'],
  })
  closeSync(nowhere)
  atEnd(() => child.kill())
  const { port } = (await told(child)) as { readonly port: number }
  const url = `http://127.0.0.1:${port}/api/v1/things/0af76519-16cd-43dd-8448-eb211c80319c`

  async function cpuMicros(): Promise<number> {
    child.send('cpu')
    return ((await told(child)) as { readonly cpuMicros: number }).cpuMicros
  }

  async function cost(seconds: number): Promise<Cost> {
    const [load = '', ...loadArgs] = pin('load', [
      process.execPath,
      path('load.ts'),
      url,
      String(seconds),
    ])
    const before = await cpuMicros()
    const { stdout } = await promisify(execFile)(load, loadArgs)
    const used = (await cpuMicros()) - before
    const { answered, refused, perSecond } = JSON.parse(stdout)
    if (refused > 0 || answered === 0)
      throw new Error(`${program} refused ${refused} requests and answered ${answered}.`)
    return { cpuMicros: used / answered, perSecond }
  }

  return { cost }
}

function path(program: string): string {
  return join(import.meta.dirname, 'chassis', program)
}

/** The child's next message. @throws where it ends instead. */
async function told(child: ChildProcess): Promise<unknown> {
  const over = new AbortController()
  const { signal } = over
  const ended = once(child, 'exit', { signal }).then(([code]) => {
    throw new Error(`A server of the comparison ended with code ${code}; its reason stands above.`)
  })
  try {
    const [message] = await Promise.race([once(child, 'message', { signal }), ended])
    return message
  } finally {
    over.abort()
  }
}

/** Takes spans and forgets them. Returns its address. */
async function startCollector(): Promise<string> {
  const collector = createServer((request, response) => {
    request.resume().once('end', () => response.writeHead(202).end())
  })
  collector.listen(0, '127.0.0.1')
  await once(collector, 'listening')
  atEnd(() => collector.closeAllConnections())
  atEnd(() => collector.close())
  return `http://127.0.0.1:${(collector.address() as AddressInfo).port}/api/v2/spans`
}
