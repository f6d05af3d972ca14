/**
 * Orders a second with 1 and 32 callers: ours, against the same statements from a bare script (the floor) and against
 * a textbook saga, all on one PostgreSQL, in turns. Sweepers and relays run in all of them.
 */
import { join } from 'node:path'
import { freePort } from '@oms/chassis/embedded-postgres'
import { createProgram, type Program } from '@oms/e2e/program'
import { atEnd } from './clean-up.ts'
import { createFloor } from './floor.ts'
import {
  createHttpPlacing,
  drive,
  type Load,
  type Place,
  SKUS,
  TENANT,
  UNIT_PRICE_MINOR,
} from './load.ts'
import type { Row } from './report.ts'
import { interleave, ratiosOf } from './statistics.ts'
import { createTextbookFloor } from './textbook/floor.ts'
import { prepareTextbook, type TextbookDatabases } from './textbook/schema.ts'
import { PASSWORD, type PspMode, type World } from './world.ts'

const AT_LEAST_TIMES_TEXTBOOK = 1.6
/** Of the floor's rate: an aim, not a bar. */
const CALLERS = [1, 32] as const
/**
 * 20 s of 32 callers, two to three thousand orders: before, most of a service's JavaScript is interpreted, and an order
 * costs twice what it costs a service that runs for an hour.
 */
const WARM_UP_MS = 20_000
const ROUND_MS = 1500
const ROUNDS = 7
/** Two rounds' events may wait when the last order has its end. */
const QUIET_WITHIN_MS = 20_000

const MODES: Readonly<Record<PspMode, string>> = {
  simulated: 'simulated processor',
  http: 'processor over HTTP',
}

interface Contestant {
  readonly place: Place
  close(): Promise<void>
}
type Name = 'ours' | 'textbook' | 'floor' | 'textbookFloor'
type Contestants = Readonly<Record<Name, Contestant>>

export async function measureOrders(
  world: World,
  tell: (line: string) => void,
  rounds = ROUNDS,
): Promise<readonly Row[]> {
  const textbook = await prepareTextbook(world.postgres.url, PASSWORD, {
    tenant: TENANT,
    skus: SKUS,
    unitPriceMinor: UNIT_PRICE_MINOR,
    supplied: 1_000_000_000,
  })
  const rows: Row[] = []
  for (const mode of ['simulated', 'http'] as const)
    rows.push(...(await measureMode(world, textbook, mode, tell, rounds)))
  return rows
}

async function measureMode(
  world: World,
  textbook: TextbookDatabases,
  mode: PspMode,
  tell: (line: string) => void,
  rounds: number,
): Promise<readonly Row[]> {
  const system = await world.system(mode)
  await system.start()
  const processorUrl = mode === 'http' ? system.urls.processor : undefined
  const theirs = await startTextbook(world, textbook, processorUrl)
  const contestants: Contestants = {
    ours: createHttpPlacing(system.urls.order),
    textbook: createHttpPlacing(theirs.url),
    floor: createFloor({ databaseUrl: world.databaseUrl, processorUrl }),
    textbookFloor: createTextbookFloor({ databaseUrl: textbook.url, processorUrl }),
  }
  const all = Object.values(contestants)
  try {
    tell(`orders: ${MODES[mode]}, warming up for ${all.length} × ${WARM_UP_MS / 1000} s`)
    for (const { place } of all) await drive(place, 32, WARM_UP_MS)
    const rows: Row[] = []
    for (const callers of CALLERS) {
      tell(
        `orders: ${MODES[mode]}, ${count(callers)}, ${rounds} rounds of ${all.length} × ${ROUND_MS / 1000} s`,
      )
      const title = `${MODES[mode]}, ${count(callers)}`
      rows.push(...rowsOf(title, await compete(world, contestants, callers, rounds), tell))
    }
    return rows
  } finally {
    await Promise.all(all.map((each) => each.close()))
    await Promise.all([theirs.stop(), system.stop()])
  }
}

function compete(
  world: World,
  contestants: Contestants,
  callers: number,
  rounds: number,
): Promise<Record<Name, Load[]>> {
  const turn =
    ({ place }: Contestant) =>
    async (): Promise<Load> => {
      // What an earlier turn left to the relays must not be this one's to pay.
      await quiet(world)
      return drive(place, callers, ROUND_MS)
    }
  return interleave(rounds, {
    ours: turn(contestants.ours),
    textbook: turn(contestants.textbook),
    floor: turn(contestants.floor),
    textbookFloor: turn(contestants.textbookFloor),
  })
}

/** Waits until every event is announced. */
async function quiet(world: World): Promise<void> {
  const until = performance.now() + QUIET_WITHIN_MS
  for (const database of ['oms_order', 'textbook_order'])
    for (;;) {
      const [row] = await world.query<{ waiting: boolean }>(
        database,
        'SELECT EXISTS (SELECT FROM oms.outbox) AS waiting',
      )
      if (row?.waiting === false) break
      if (performance.now() > until)
        throw new Error(
          `The outbox of ${database} was not empty after ${QUIET_WITHIN_MS / 1000} s.`,
        )
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
}

function rowsOf(
  title: string,
  loads: Record<Name, Load[]>,
  tell: (line: string) => void,
): readonly Row[] {
  const rate = (name: Name) => loads[name].map(({ perSecond }) => perSecond)
  const late = Object.values(loads).flatMap((each) => each.map((load) => load.late))
  const sum = late.reduce((a, b) => a + b, 0)
  if (sum > 0) tell(`orders: ${title}: ${sum} had their end later or were shed, and do not count`)
  const unit = 'orders/s'
  const alone = 'statements alone'
  const against = (control: Name, name: Name, called: string) => ({
    control: called,
    ratios: ratiosOf(rate(name), rate(control)),
  })
  return [
    { what: `textbook saga: ${alone}; ${title}`, unit, values: rate('textbookFloor') },
    {
      what: `floor: ${alone}; ${title}`,
      unit,
      values: rate('floor'),
      against: against('textbookFloor', 'floor', `textbook's ${alone}`),
      bar: { on: 'ratio', atLeast: AT_LEAST_TIMES_TEXTBOOK },
    },
    { what: `textbook saga; ${title}`, unit, values: rate('textbook') },
    {
      what: `ours; ${title}`,
      unit,
      values: rate('ours'),
      against: against('textbook', 'ours', 'textbook'),
      bar: { on: 'ratio', atLeast: AT_LEAST_TIMES_TEXTBOOK },
    },
    {
      what: `ours; ${title}`,
      unit,
      values: rate('ours'),
      against: against('floor', 'ours', 'floor'),
    },
  ]
}

function count(callers: number): string {
  return callers === 1 ? '1 caller' : `${callers} callers`
}

/** The textbook's three services as processes. */
async function startTextbook(
  world: World,
  databases: TextbookDatabases,
  processorUrl: string | undefined,
): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const started: Program[] = []
  async function start(role: 'order' | 'payment' | 'inventory', env: Record<string, string>) {
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const program = createProgram({
      name: `textbook-${role}`,
      bundle: join(import.meta.dirname, 'textbook/main.ts'),
      env: {
        DEPLOYMENT: 'local',
        ROLE: role,
        PORT: String(port),
        DATABASE_URL: databases.url(role),
        // Not beside the sources.
        NODE_COMPILE_CACHE: join(world.folder, 'compile-cache'),
        ...env,
      },
      readyUrl: `${url}/health`,
      stateDir: world.folder,
    })
    atEnd(() => program.stop())
    started.push(program)
    await program.start()
    return url
  }
  const psp: Record<string, string> = processorUrl === undefined ? {} : { PSP_URL: processorUrl }
  const INVENTORY_URL = await start('inventory', {})
  const PAYMENT_URL = await start('payment', psp)
  const url = await start('order', { INVENTORY_URL, PAYMENT_URL })
  return { url, stop: async () => void (await Promise.all(started.map((each) => each.stop()))) }
}
