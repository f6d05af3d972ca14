/** Drives an order to its end, by whoever holds its lease: a request, the sweeper, a cancel. Two at once are harmless. */
import { ALERT_AFTER_ATTEMPTS, isFinal, nextCommand, type Order, type OrderKey } from './order.ts'
import type { Inventory, Log, Orders, Patience, Payments, Told } from './ports.ts'
import { type Command, reactionTo } from './transitions.ts'

export interface Driver {
  /** One pass, at most 10 s: each command is sent once, the mesh already retries. Returns the row as it then stands. */
  drive(order: Order): Promise<Order>
  /** `drive`, shared by the duplicates in this process; the last known row when the answer is due first. */
  driveUntilDue(order: Order): Promise<Order>
  /** What duplicates of a running order wait for; the last known row when it cannot be read again. */
  awaitEnd(order: Order): Promise<Order>
  /** One pass over orders whose lease ran out. Returns how many there were. */
  recover(batch: number): Promise<number>
  /** Gives the leases of unfinished passes back, so that another replica goes on at once. */
  handBack(): Promise<void>
}

interface Dependencies {
  readonly orders: Orders
  readonly inventory: Inventory
  readonly payments: Payments
  readonly patience: Patience
  readonly log: Log
}

export function createDriver({ orders, inventory, payments, patience, log }: Dependencies): Driver {
  const underWay = new Map<symbol, OrderKey>()

  const participants: Readonly<Record<Command, (order: Order) => Promise<Told>>> = {
    reserve: inventory.reserve,
    charge: payments.charge,
    void: payments.void,
    refund: payments.refund,
    release: inventory.release,
  }

  async function drive(order: Order): Promise<Order> {
    const pass = Symbol(order.orderId)
    underWay.set(pass, order)
    try {
      return await runPass(order)
    } finally {
      underWay.delete(pass)
    }
  }

  async function runPass(order: Order): Promise<Order> {
    const sent = new Set<Command>()
    let current = order
    let command = nextCommand(current)
    while (command !== undefined && !sent.has(command)) {
      sent.add(command)
      const told = await participants[command](current)
      const reaction = reactionTo(command, told.answer)
      switch (reaction.kind) {
        case 'send':
          command = reaction.command
          break
        case 'apply':
          current = await orders.apply(current, reaction.on, told)
          command = nextCommand(current)
          break
        case 'cancel':
          await orders.requestCancel(current)
          current = await orders.apply(current, 'captured', told)
          command = nextCommand(current)
          break
        case 'alert':
          log.error(
            { order_id: current.orderId, state: current.state, command, answer: told.answer },
            'a participant contradicts the protocol',
          )
          return await defer(current, sent, false)
        case 'later':
          return await defer(current, sent, false)
        case 'soon':
          return await defer(current, sent, true)
      }
    }
    return isFinal(current) ? current : await defer(current, sent, true)
  }

  /** The one write at the end of a pass without an end. */
  function defer(order: Order, sent: ReadonlySet<Command>, soon: boolean): Promise<Order> {
    if (order.attempt > ALERT_AFTER_ATTEMPTS)
      log.error(
        { order_id: order.orderId, state: order.state, attempt: order.attempt },
        'order without an end',
      )
    return orders.defer(order, { charged: sent.has('charge'), soon })
  }

  /** After acceptance nothing is a refusal: whatever fails here, the sweeper goes on. */
  async function driveSafely(order: Order): Promise<Order> {
    try {
      return await drive(order)
    } catch (error) {
      log.warn({ err: error, order_id: order.orderId }, 'pass failed; the sweeper goes on')
      return order
    }
  }

  async function driveUntilDue(order: Order): Promise<Order> {
    return (await patience.within(keyOf(order), () => driveSafely(order))) ?? order
  }

  async function awaitEnd(order: Order): Promise<Order> {
    let latest = order
    async function read(): Promise<Order> {
      try {
        latest = (await orders.find(order)) ?? latest
      } catch (error) {
        log.warn({ err: error, order_id: order.orderId }, 'order could not be read again')
      }
      return latest
    }
    return patience.until(keyOf(order), order, isFinal, read)
  }

  async function recover(batch: number): Promise<number> {
    const due = await orders.claimDue(batch)
    await Promise.all(due.map(resume))
    return due.length
  }

  /** One order's trouble does not end the others' passes. */
  async function resume(key: OrderKey): Promise<void> {
    try {
      const order = await orders.find(key)
      if (order !== undefined) await driveUntilDue(order)
    } catch (error) {
      log.warn({ err: error, order_id: key.orderId }, 'claimed order could not be read')
    }
  }

  async function handBack(): Promise<void> {
    if (underWay.size > 0) await orders.returnLeases([...underWay.values()])
  }

  return { drive, driveUntilDue, awaitEnd, recover, handBack }
}

function keyOf({ tenantId, orderId }: OrderKey): string {
  return `${tenantId}/${orderId}`
}
