/** What may happen, as plain data, so that a counterexample can be kept; and how fast-check makes it up. */
import fc from 'fast-check'
import type { Weather } from '../in-process/link.ts'
import { SERVICES, type Service } from '../system/system.ts'
import { type Content, isFaulty, type OrderState, type Ways } from './model.ts'

/** Of the run's two tenants. */
type Tenant = 0 | 1

/** Which one of the orders that the step can be about, counted round. */
interface Picked {
  readonly pick: number
}
interface Placed extends Content {
  readonly tenant: Tenant
  /** A new one. A UUID becomes the order's id, any other is hashed into one. */
  readonly key: 'uuid' | 'text'
}
interface Driven extends Picked {
  readonly ways: Ways
}
interface Asked extends Driven {
  /** The order's lease has run out; else somebody drives it already. */
  readonly leaseOver: boolean
}

interface Fields {
  readonly place: Placed & { readonly ways: Ways }
  readonly 'place twice at once': Placed
  readonly repeat: Asked
  readonly 'reuse a key': Picked & { readonly change: 'token' | 'quantity' | 'sku' }
  readonly 'use the key of another tenant': Picked & Content
  readonly 'name a SKU twice': {
    readonly tenant: Tenant
    readonly sku: string
    readonly quantities: readonly [number, number]
  }
  readonly 'name a SKU without a price': { readonly tenant: Tenant }
  readonly cancel: Asked
  readonly "cancel another tenant's": Picked
  readonly read: Picked
  readonly "read another tenant's": Picked
  readonly list: {
    readonly tenant: Tenant
    readonly limit: number
    readonly state: OrderState | null
  }
  readonly 'read the feed': { readonly tenant: Tenant; readonly limit: number }
  readonly 'read the stock': { readonly tenant: Tenant }
  readonly 'raise stock': { readonly tenant: Tenant; readonly sku: string; readonly by: number }
  readonly 'set a price': { readonly tenant: Tenant; readonly sku: string; readonly price: number }
  readonly 'let a lease end and sweep': Driven
  readonly 'time out and sweep': Driven
  readonly relay: { readonly way: Weather }
  readonly 'let a reservation expire': Picked & { readonly way: Weather }
  readonly 'resume payments': object
  readonly 'retry a refund': Picked
  readonly restart: { readonly service: Service }
}

export type Kind = keyof Fields
export type StepOf<K extends Kind> = { readonly do: K } & Fields[K]
export type Step = { [K in Kind]: StepOf<K> }[Kind]

const SUPPLIED = ['BEANS', 'MUG', 'PRESS'] as const
/** Has a price and is never supplied. */
const UNSUPPLIED = 'GHOST'
export const SKUS = [...SUPPLIED, UNSUPPLIED] as const

function mostly<T>(usual: readonly T[], rare: T): fc.Arbitrary<T> {
  return fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(...usual) },
    { weight: 1, arbitrary: fc.constant(rare) },
  )
}

const tenant = fc.constantFrom<Tenant>(0, 1)
const pick = fc.nat(20)
function weatherOf(up: number, down: number, deaf: number): fc.Arbitrary<Weather> {
  return fc.oneof(
    { weight: up, arbitrary: fc.constant('up') },
    { weight: down, arbitrary: fc.constant('down') },
    { weight: deaf, arbitrary: fc.constant('deaf') },
  )
}
const weather = weatherOf(4, 1, 1)
/** Most interesting is an order that is paid and does not know. */
const ways = fc.record({ inventory: weatherOf(8, 1, 1), payment: weatherOf(4, 1, 2) })
const quantity = fc.integer({ min: 1, max: 4 })
const limit = fc.integer({ min: 1, max: 10 })
const suppliedSku = fc.constantFrom(...SUPPLIED)
const key = fc.constantFrom<'uuid' | 'text'>('uuid', 'text')
const lines = fc.uniqueArray(fc.record({ sku: mostly<string>(SUPPLIED, UNSUPPLIED), quantity }), {
  minLength: 1,
  maxLength: 3,
  selector: (line) => line.sku,
})
/** A card that takes no refund is a good one until somebody cancels. */
const soundToken = fc.constantFrom(
  'pm_approve0001',
  'pm_norefund001',
  'pm_norefund001',
  'pm_decline0001',
)
const token = fc.oneof(
  { weight: 8, arbitrary: soundToken },
  { weight: 1, arbitrary: fc.constantFrom('pm_error000001', 'pm_lost0000001') },
)
const driven = fc.record({ pick, ways })
const asked = fc.record({ pick, ways, leaseOver: fc.boolean() })
const picked = fc.record({ pick })

/** A faulty card costs real time where its answer arrives, for its order asks again: rarely. */
const placed = fc.record({ tenant, key, lines, token, ways }).chain((place) =>
  isFaulty(place) && place.ways.payment === 'up'
    ? mostly<Weather>(['deaf'], 'up').map((payment) => ({
        ...place,
        ways: { ...place.ways, payment },
      }))
    : fc.constant(place),
)

const KINDS: {
  readonly [K in Kind]: { readonly weight: number; readonly arbitrary: fc.Arbitrary<Fields[K]> }
} = {
  place: { weight: 48, arbitrary: placed },
  'place twice at once': {
    weight: 8,
    arbitrary: fc.record({ tenant, key, lines, token: soundToken }),
  },
  repeat: { weight: 16, arbitrary: asked },
  'reuse a key': {
    weight: 8,
    arbitrary: fc.record({ pick, change: fc.constantFrom('token', 'quantity', 'sku') }),
  },
  'use the key of another tenant': {
    weight: 4,
    arbitrary: fc.record({ pick, lines, token: soundToken }),
  },
  'name a SKU twice': {
    weight: 4,
    arbitrary: fc.record({ tenant, sku: suppliedSku, quantities: fc.tuple(quantity, quantity) }),
  },
  'name a SKU without a price': { weight: 4, arbitrary: fc.record({ tenant }) },
  cancel: { weight: 20, arbitrary: asked },
  "cancel another tenant's": { weight: 4, arbitrary: picked },
  read: { weight: 4, arbitrary: picked },
  "read another tenant's": { weight: 4, arbitrary: picked },
  list: {
    weight: 4,
    arbitrary: fc.record({
      tenant,
      limit,
      state: fc.constantFrom(null, 'payment_unknown', 'confirmed', 'cancelled'),
    }),
  },
  'read the feed': { weight: 4, arbitrary: fc.record({ tenant, limit }) },
  'read the stock': { weight: 4, arbitrary: fc.record({ tenant }) },
  'raise stock': {
    weight: 8,
    arbitrary: fc.record({ tenant, sku: suppliedSku, by: fc.integer({ min: 1, max: 8 }) }),
  },
  'set a price': {
    weight: 4,
    arbitrary: fc.record({ tenant, sku: suppliedSku, price: fc.integer({ min: 1, max: 100_000 }) }),
  },
  'let a lease end and sweep': { weight: 16, arbitrary: driven },
  'time out and sweep': { weight: 8, arbitrary: driven },
  relay: { weight: 12, arbitrary: fc.record({ way: weather }) },
  'let a reservation expire': { weight: 8, arbitrary: fc.record({ pick, way: weather }) },
  'resume payments': { weight: 4, arbitrary: fc.constant({}) },
  'retry a refund': { weight: 8, arbitrary: picked },
  // It costs as much as ten orders.
  restart: { weight: 1, arbitrary: fc.record({ service: fc.constantFrom(...SERVICES) }) },
}

export const KIND_NAMES = Object.keys(KINDS) as readonly Kind[]

export const anyStep: fc.Arbitrary<Step> = fc.oneof(
  ...KIND_NAMES.map((kind) => ({
    weight: KINDS[kind].weight,
    arbitrary: KINDS[kind].arbitrary.map((fields) => ({ do: kind, ...fields }) as Step),
  })),
)
