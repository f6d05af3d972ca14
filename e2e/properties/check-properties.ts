/** Runs of random steps against the real system and the model, with fast-check. */
import { deepEqual } from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import type { World } from '../in-process/world.ts'
import { CLIENT_STEPS } from './client-steps.ts'
import { type Real, type Script, type Tally, unfinished } from './drivers.ts'
import { ALL_UP, isFinal, type Model, type ModelOrder } from './model.ts'
import { expectation, observe } from './observe.ts'
import { anyStep, type Kind, SKUS, type Step, type StepOf } from './steps.ts'
import { SYSTEM_STEPS } from './system-steps.ts'

const SCRIPTS: { readonly [K in Kind]: Script<K> } = { ...CLIENT_STEPS, ...SYSTEM_STEPS }

/** Of each SKU but the last, which nobody supplies. */
const SUPPLIED_AT_FIRST = 3
/** Tries to make a counterexample smaller; each is a run, and on a slow machine time ends them. */
const MAX_SHRINKS = 300
const SHRINK_WITHIN_MS = 30_000

/** Runs at once, each in a world of its own: while one waits for the database, the other works. */
export const LANES = 2

export interface PropertiesOptions {
  /** Where the next run of a lane happens. */
  readonly nextWorld: (lane: number) => Promise<World>
  readonly runs: number
  /** Of one run. */
  readonly maxSteps: number
  /** Of the first lane; the others' follow. */
  readonly seed: number
  /** Of a counterexample, to go there at once: printed where one is found. */
  readonly path?: string
  readonly replayPath?: string
}

export interface PropertiesReport {
  readonly runs: number
  readonly tally: Tally
  /** In words, with the smallest counterexample and how to see it again. */
  readonly failure?: string
}

export async function checkProperties(options: PropertiesOptions): Promise<PropertiesReport> {
  const tally: Tally = { steps: new Map(), repeated: 0 }
  const lanes = options.path === undefined ? Math.min(LANES, options.runs) : 1
  const details = await Promise.all(
    Array.from({ length: lanes }, (_, lane) => checkLane(lane, lanes, options, tally)),
  )
  const failed = details.find((each) => each.failed)
  return {
    runs: details.reduce((sum, { numRuns }) => sum + numRuns, 0),
    tally,
    ...(failed === undefined ? {} : { failure: inWords(failed, options.maxSteps) }),
  }
}

type Commands = Iterable<fc.AsyncCommand<Model, Real>>

function checkLane(
  lane: number,
  lanes: number,
  { nextWorld, runs, maxSteps, seed, path, replayPath }: PropertiesOptions,
  tally: Tally,
): Promise<fc.RunDetails<[Commands]>> {
  const commands = fc.commands([anyStep.map(commandOf)], {
    maxCommands: maxSteps,
    size: 'max',
    ...(replayPath === undefined ? {} : { replayPath }),
  })
  let failedAtMs: number | undefined
  const property = fc.asyncProperty(fc.limitShrink(commands, MAX_SHRINKS), async (each) => {
    fc.pre(failedAtMs === undefined || performance.now() - failedAtMs < SHRINK_WITHIN_MS)
    try {
      await run(each, { world: await nextWorld(lane), tally })
    } catch (error) {
      failedAtMs ??= performance.now()
      throw error
    }
  })
  return fc.check(property, {
    numRuns: Math.floor((runs + lane) / lanes),
    seed: seed + lane,
    ...(path === undefined ? {} : { path }),
  })
}

/** Repeats what was kept. @throws as soon as an answer or a row is not the model's, or a step cannot happen any more. */
export async function repeatSteps(world: World, steps: readonly Step[]): Promise<void> {
  const commands = steps.map(commandOf).map((command) => ({
    ...command,
    check(model: Model): boolean {
      if (command.check(model)) return true
      throw new Error(`There is no order for ${command}; write the steps anew.`)
    },
  }))
  await run(commands, { world, tally: { steps: new Map(), repeated: 0 } })
}

function commandOf(step: Step): fc.AsyncCommand<Model, Real> {
  const script = SCRIPTS[step.do] as Script<Kind>
  const candidates = (model: Model): readonly ModelOrder[] => script.candidates?.(model) ?? []
  return {
    check: (model) => script.candidates === undefined || candidates(model).length > 0,
    async run(model, real) {
      const { steps } = real.tally
      steps.set(step.do, (steps.get(step.do) ?? 0) + 1)
      const among = candidates(model)
      const order = among['pick' in step ? step.pick % among.length : 0] as ModelOrder
      await script.run(real, model, step as StepOf<Kind>, order)
      deepEqual(await observe(real.world, model.tenants), expectation(model))
    },
    toString: () => JSON.stringify(step),
  }
}

async function run(commands: Commands, real: Real): Promise<void> {
  const model = await begin(real.world)
  await fc.asyncModelRun(() => ({ model, real }), commands)
  await finish(real, model)
}

/** Two tenants of the run's own, with a little stock. */
async function begin(world: World): Promise<Model> {
  const name = `p${randomBytes(5).toString('hex')}`
  const tenants = [`${name}-a`, `${name}-b`] as const
  const skus = tenants.flatMap((tenant) =>
    SKUS.map((sku, index) => ({ tenant, sku, price: 10 ** (index + 1) })),
  )
  const supplied = skus.filter(({ sku }) => sku !== SKUS.at(-1))
  await Promise.all([
    world.query(
      'order',
      `INSERT INTO oms.price (tenant_id, sku, currency, unit_price_minor)
       SELECT tenant, sku, 'EUR', price FROM jsonb_to_recordset($1) AS p (tenant text, sku text, price bigint)`,
      [JSON.stringify(skus)],
    ),
    world.query(
      'inventory',
      `INSERT INTO oms.stock (tenant_id, sku, supplied, available)
       SELECT tenant, sku, ${SUPPLIED_AT_FIRST}, ${SUPPLIED_AT_FIRST} FROM jsonb_to_recordset($1) AS p (tenant text, sku text)`,
      [JSON.stringify(supplied)],
    ),
  ])
  return {
    tenants,
    prices: new Map(skus.map(({ tenant, sku, price }) => [`${tenant}/${sku}`, price])),
    stock: new Map(
      supplied.map(({ tenant, sku }) => [
        `${tenant}/${sku}`,
        { available: SUPPLIED_AT_FIRST, reserved: 0, sold: 0 },
      ]),
    ),
    orders: [],
    outbox: [],
    feed: new Map(),
  }
}

/** Every order ends once the weather is good, and every promise holds. */
async function finish(real: Real, model: Model): Promise<void> {
  const step = (each: Step): Promise<void> => commandOf(each).run(model, real)
  await step({ do: 'resume payments' })
  for (const order of unfinished(model)) {
    const pick = 0
    await step({ do: 'let a lease end and sweep', pick, ways: ALL_UP })
    if (isFinal(order)) continue
    // The first refund was refused.
    await step({ do: 'retry a refund', pick })
    await step({ do: 'let a lease end and sweep', pick, ways: ALL_UP })
  }
  await step({ do: 'relay', way: 'up' })
  deepEqual(unfinished(model), [])
  await requireGreenAudit(real.world, model)
}

async function requireGreenAudit(world: World, { tenants }: Model): Promise<void> {
  const ours = (subject: string): boolean =>
    !/^p[0-9a-f]{10}-/.test(subject) || tenants.includes(subject.split('/')[0] ?? '')
  const wrong = (await world.audit()).flatMap(({ id, promise, needs, findings }) => [
    ...(needs === undefined ? [] : [`${id} ${promise} is not checked: needs ${needs}`]),
    ...findings
      .filter(({ subject }) => ours(subject))
      .map(({ subject, why }) => `${id} ${promise}: ${subject} ${why}`),
  ])
  deepEqual(wrong, [])
}

function inWords(
  { counterexample, counterexamplePath, errorInstance, seed }: fc.RunDetails<[Commands]>,
  maxSteps: number,
): string {
  const found = String(counterexample?.[0])
  const replayPath = /replayPath="([^"]+)"/.exec(found)?.[1] ?? ''
  const steps = found.replace(/\s*\/\*replayPath=.*\*\//, '').replaceAll('},{"do"', '},\n {"do"')
  return [
    errorInstance instanceof Error ? errorInstance.stack : String(errorInstance),
    `The smallest run found:\n[${steps}]`,
    `See it again: npx pnpm@12.21.0 run verify:properties --max-steps ${maxSteps} --seed ${seed} --path ${counterexamplePath} --replay-path ${replayPath}`,
    'Keep it: add these steps to e2e/properties/regressions.json, under a name that says what must not happen.',
  ].join('\n\n')
}
