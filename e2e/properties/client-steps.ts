/** What clients do, each to the real system and to the model; the answers must be the model's. */
import { deepEqual, equal, ok } from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import {
  bodyOf,
  expectAnswer,
  expectOrder,
  expectPlaced,
  expectProblem,
  withoutTimes,
} from './answers.ts'
import { driven, type Real, type Script, standStill, unfinished } from './drivers.ts'
import {
  ALL_UP,
  accept,
  type Content,
  drive,
  isFinal,
  type Model,
  type ModelOrder,
  requestCancel,
  type Ways,
} from './model.ts'
import { type Kind, SKUS, type StepOf } from './steps.ts'

/** Below the 200 ms that are kept for the way back: who finds the order under way is answered at once. */
const NO_PATIENCE = { 'x-request-deadline-ms': '150' }

const all = ({ orders }: Model): readonly ModelOrder[] => orders
/** Those that have not ended three times as often. */
const mostlyUnfinished = (model: Model): readonly ModelOrder[] => [
  ...unfinished(model),
  ...unfinished(model),
  ...model.orders,
]

/** An order under a key that its tenant has not used. */
async function place(
  real: Real,
  model: Model,
  tenant: string,
  key: string,
  ways: Ways,
  { lines, token }: Content,
): Promise<void> {
  const content = { lines, token }
  const request = { tenant, key, ...content }
  // Else the passes that its own charge may need would take up what the orders before it left.
  await standStill(real, model, undefined)
  await driven(real, model, ways, content, () => real.world.client.place(request), {
    model({ body }) {
      const order = accept(model, tenant, key, String(body['order_id']), content)
      if (!key.startsWith(TEXT)) equal(order.orderId, key, 'a UUID becomes the id')
      drive(model, order, ways)
      return order
    },
    check: (answer, order) => expectPlaced(answer, order, { replayed: false }),
  })
}

const TEXT = 'key:'

function newKey(kind: StepOf<'place'>['key']): string {
  return kind === 'uuid' ? randomUUID() : TEXT + randomUUID()
}

export const CLIENT_STEPS = {
  place: {
    run: (real, model, { tenant, key, ways, ...content }) =>
      place(real, model, model.tenants[tenant], newKey(key), ways, content),
  },

  'place twice at once': {
    async run(real, model, { tenant, key: kind, lines, token }) {
      const key = newKey(kind)
      const request = { tenant: model.tenants[tenant], key, token }
      const place = (of: typeof lines) => real.world.client.place({ ...request, lines: of })
      // Lines count as a set.
      const act = () => Promise.all([place(lines), place(lines.toReversed())])
      await standStill(real, model, undefined)
      await driven(real, model, ALL_UP, { lines, token }, act, {
        model([{ body }]) {
          const order = accept(model, request.tenant, key, String(body['order_id']), {
            lines,
            token,
          })
          drive(model, order, ALL_UP)
          return order
        },
        check(answers, order) {
          for (const each of answers) expectAnswer(each, order)
          const replays = answers.filter((each) => each.headers['idempotent-replayed'] === 'true')
          equal(replays.length, 1, 'one of the two is the replay')
        },
      })
    },
  },

  repeat: {
    candidates: mostlyUnfinished,
    async run(real, model, { leaseOver, ways }, order) {
      const resumes = leaseOver && !isFinal(order)
      const waits = !leaseOver && !isFinal(order)
      const request = {
        tenant: order.tenant,
        key: order.key,
        token: order.token,
        lines: order.lines.toReversed(),
        headers: waits ? NO_PATIENCE : {},
      }
      await standStill(real, model, resumes ? order : undefined)
      await driven(real, model, ways, order, () => real.world.client.place(request), {
        model() {
          if (resumes) drive(model, order, ways)
          return order
        },
        check: (answer) => expectPlaced(answer, order, { replayed: true }),
      })
    },
  },

  'reuse a key': {
    candidates: all,
    async run({ world }, _model, { change }, { tenant, key, lines, token }) {
      const changed = {
        token: { lines, token: `${token}X` },
        quantity: {
          lines: lines.map((line, index) =>
            index === 0 ? { ...line, quantity: line.quantity + 1 } : line,
          ),
          token,
        },
        sku: { lines: [...lines, { sku: 'WITHOUT-A-PRICE', quantity: 1 }], token },
      }[change]
      expectProblem(
        await world.client.place({ tenant, key, ...changed }),
        422,
        'idempotency-key-reuse',
      )
    },
  },

  'use the key of another tenant': {
    candidates: (model) =>
      model.orders.filter((order) => {
        const other = otherOf(model, order)
        return !model.orders.some(({ tenant, key }) => tenant === other && key === order.key)
      }),
    run: (real, model, content, order) =>
      place(real, model, otherOf(model, order), order.key, ALL_UP, content),
  },

  'name a SKU twice': {
    async run({ world }, model, { tenant, sku, quantities }) {
      const lines = quantities.map((quantity) => ({ sku, quantity }))
      expectProblem(
        await world.client.place({ tenant: model.tenants[tenant], lines }),
        400,
        'invalid-request',
      )
    },
  },

  'name a SKU without a price': {
    async run({ world }, model, { tenant }) {
      const lines = [{ sku: 'WITHOUT-A-PRICE', quantity: 1 }]
      expectProblem(
        await world.client.place({ tenant: model.tenants[tenant], lines }),
        400,
        'unknown-sku',
      )
    },
  },

  cancel: {
    candidates: mostlyUnfinished,
    async run(real, model, { leaseOver, ways }, order) {
      const { tenant, orderId } = order
      const fresh =
        (order.state === 'pending' || order.state === 'payment_unknown') && !order.cancelRequested
      const drives = fresh || (leaseOver && !isFinal(order))
      const waits = !drives && !isFinal(order)
      await standStill(real, model, leaseOver ? order : undefined)
      await driven(
        real,
        model,
        ways,
        order,
        () => real.world.client.cancel(orderId, tenant, waits ? NO_PATIENCE : {}),
        {
          model() {
            requestCancel(order)
            if (drives) drive(model, order, ways)
            return order
          },
          check(answer) {
            if (!isFinal(order)) expectOrder(answer, 202, order)
            else if (order.state === 'cancelled') expectOrder(answer, 200, order)
            else expectProblem(answer, 409, 'order-final')
          },
        },
      )
    },
  },

  "cancel another tenant's": {
    candidates: onlyOwn,
    async run({ world }, model, _step, order) {
      expectProblem(
        await world.client.cancel(order.orderId, otherOf(model, order)),
        404,
        'not-found',
      )
    },
  },

  read: {
    candidates: all,
    async run({ world }, _model, _step, order) {
      expectOrder(
        await world.client.read(`/api/v1/orders/${order.orderId}`, order.tenant),
        200,
        order,
      )
    },
  },

  "read another tenant's": {
    candidates: onlyOwn,
    async run({ world }, model, _step, order) {
      expectProblem(
        await world.client.read(`/api/v1/orders/${order.orderId}`, otherOf(model, order)),
        404,
        'not-found',
      )
    },
  },

  list: {
    async run({ world }, model, { tenant, limit, state }) {
      const expected = model.orders
        .filter(
          (each) =>
            each.tenant === model.tenants[tenant] && (state === null || each.state === state),
        )
        .toReversed()
      const wanted = state === null ? '' : `&state=${state}`
      let cursor = ''
      const listed: unknown[] = []
      do {
        const path = `/api/v1/orders?limit=${limit}${wanted}${cursor}`
        const { status, body } = await world.client.read(path, model.tenants[tenant])
        equal(status, 200)
        const { items, next_cursor: next } = body as {
          readonly items: readonly object[]
          readonly next_cursor: string | null
        }
        ok(items.length <= limit)
        listed.push(...items.map(withoutTimes))
        cursor = next === null ? '' : `&cursor=${encodeURIComponent(next)}`
      } while (cursor !== '')
      deepEqual(listed, expected.map(bodyOf))
    },
  },

  'read the feed': {
    async run({ world }, model, { tenant, limit }) {
      const expected = (model.feed.get(model.tenants[tenant]) ?? []).map((order, index) => ({
        seq: index + 1,
        type: `order.${order.state}`,
        order_id: order.orderId,
        body: { state: order.state, currency: 'EUR', amount_minor: order.amount },
      }))
      const events: unknown[] = []
      for (let after = 0; ; ) {
        const path = `/api/v1/orders/events?after=${after}&limit=${limit}`
        const { status, body } = await world.client.read(path, model.tenants[tenant])
        equal(status, 200)
        const page = body as { readonly items: readonly object[]; readonly last_seq: number }
        events.push(...page.items.map(withoutTimes))
        if (page.items.length === 0) break
        after = page.last_seq
      }
      deepEqual(events, expected)
    },
  },

  'read the stock': {
    async run({ world }, model, { tenant }) {
      const name = model.tenants[tenant]
      const response = await fetch(`${world.urls.inventory}/api/v1/stock`, {
        headers: { 'x-tenant-id': name },
      })
      const { items } = (await response.json()) as { readonly items: readonly object[] }
      const expected = SKUS.toSorted().flatMap((sku) => {
        const stock = model.stock.get(`${name}/${sku}`)
        return stock === undefined ? [] : [{ sku, ...stock }]
      })
      deepEqual(items, expected)
    },
  },
} satisfies { readonly [K in Kind]?: Script<K> }

function onlyOwn(model: Model): readonly ModelOrder[] {
  return model.orders.filter((order) => {
    const other = otherOf(model, order)
    return !model.orders.some(
      ({ tenant, orderId }) => tenant === other && orderId === order.orderId,
    )
  })
}

function otherOf({ tenants }: Model, { tenant }: ModelOrder): string {
  return tenant === tenants[0] ? tenants[1] : tenants[0]
}
