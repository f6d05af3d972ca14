/** Weather and time: who drives an order, what they meet, and whose lease has run out. */
import type { Link, Weather } from '../in-process/link.ts'
import type { World } from '../in-process/world.ts'
import { type Content, isFaulty, isFinal, type Model, type ModelOrder, type Ways } from './model.ts'
import { expectation, observe } from './observe.ts'
import type { Kind, StepOf } from './steps.ts'

/** What runs did, beside whether it was right. */
export interface Tally {
  readonly steps: Map<Kind, number>
  /** Passes repeated because the machine was too slow for a service's own time limit. */
  repeated: number
}

export interface Real {
  readonly world: World
  readonly tally: Tally
}

/** One kind of step. */
export interface Script<K extends Kind> {
  /** The orders that the step can be about; a step that is about none has no such list. */
  candidates?(model: Model): readonly ModelOrder[]
  run(real: Real, model: Model, step: StepOf<K>, order: ModelOrder): Promise<void>
}

/** Of what is repeated: a machine that is too slow more often has another trouble. */
const MAX_PASSES = 8

export function unfinished({ orders }: Model): readonly ModelOrder[] {
  return orders.filter((order) => !isFinal(order))
}

const NOBODY = ['', '00000000-0000-0000-0000-000000000000']

export function idOf(order: ModelOrder | undefined): readonly string[] {
  return order === undefined ? NOBODY : [order.tenant, order.orderId]
}

/** SQL: now for the order of $1 and $2, an hour later for all others. */
export function endsFor(): string {
  return "CASE WHEN (tenant_id, order_id) = ($1, $2::uuid) THEN now() ELSE now() + interval '1 hour' END"
}

/** No lease ends by itself; `order`'s has, and that of its payment. */
export async function standStill(
  { world }: Real,
  model: Model,
  order: ModelOrder | undefined,
): Promise<void> {
  if (unfinished(model).length === 0) return
  await Promise.all([
    world.query(
      'order',
      `UPDATE oms.orders SET next_run_at = ${endsFor()},
          decide_at = CASE WHEN decide_at <= now() THEN decide_at ELSE now() + interval '1 hour' END
        WHERE state < 100`,
      idOf(order),
    ),
    world.query(
      'payment',
      `UPDATE oms.payment SET next_run_at = ${endsFor()} WHERE state = 1`,
      idOf(order),
    ),
  ])
}

/** Payment-service's loop until nothing is due: a first try may fail. */
export async function resumeAll(world: World): Promise<void> {
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    const due = await world.query(
      'payment',
      'UPDATE oms.payment SET next_run_at = now() WHERE state = 1 RETURNING order_id',
    )
    if (due.length === 0) return
    await world.payment.resume()
  }
}

interface Driving<Answer> {
  /** Does the same to the model. */
  model(answer: Answer): ModelOrder
  check(answer: Answer, order: ModelOrder): void
}

/**
 * Does what makes somebody drive an order, under this weather. Where a service was too slow for its own time limit,
 * which is no verdict either, drivers go on until the order stands where the model has it.
 */
export async function driven<Answer>(
  real: Real,
  model: Model,
  ways: Ways,
  content: Content & { readonly payment?: ModelOrder['payment'] },
  act: () => Promise<Answer>,
  driving: Driving<Answer>,
): Promise<void> {
  const { world, tally } = real
  const { payment = 'none' } = content
  const polls = isFaulty(content) && payment === 'none' && ways.payment === 'up'
  const { answer, undecided } = await underWeather(world, ways, () =>
    polls ? whilePaymentsResume(world, act) : act(),
  )
  const order = driving.model(answer)
  if (undecided <= (order.stillProcessing ? 1 : 0)) {
    driving.check(answer, order)
    return
  }
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    const { orders } = await observe(world, model.tenants)
    const id = idOf(order).join('/')
    if (orders[id] === expectation(model).orders[id]) return
    tally.repeated++
    await standStill(real, model, order)
    await underWeather(world, ways, () => whilePaymentsResume(world, () => world.order.recover()))
  }
}

async function underWeather<T>(
  { links }: World,
  ways: Ways,
  act: () => Promise<T>,
): Promise<{ readonly answer: T; readonly undecided: number }> {
  links.inventory.weather = ways.inventory
  links.payment.weather = ways.payment
  try {
    const answer = await act()
    const counts = await Promise.all([links.inventory.settle(), links.payment.settle()])
    return { answer, undecided: counts[0] + counts[1] }
  } finally {
    links.inventory.weather = 'up'
    links.payment.weather = 'up'
  }
}

/** Repeats a pass that got no answer only because the machine was too slow for it. */
export async function untilDecided(
  { tally }: Real,
  link: Link,
  weather: Weather,
  pass: () => Promise<void>,
): Promise<void> {
  link.weather = weather
  try {
    await pass()
    for (let more = 1; more < MAX_PASSES && (await link.settle()) > 0; more++) {
      tally.repeated++
      await pass()
    }
  } finally {
    link.weather = 'up'
  }
}

/** Payment-service's loop for as long as somebody waits for it; leases that stand still keep standing. */
async function whilePaymentsResume<T>(world: World, act: () => Promise<T>): Promise<T> {
  let over = false
  const acting = act().finally(() => {
    over = true
  })
  acting.catch(() => undefined)
  while (!over) {
    await world.query(
      'payment',
      "UPDATE oms.payment SET next_run_at = now() WHERE state = 1 AND next_run_at < now() + interval '1 minute'",
    )
    await world.payment.resume()
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return acting
}
