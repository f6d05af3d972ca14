/**
 * What the textbook's services stand on: the chassis, as ours do, so that the comparison is of the order's path and not
 * of a log line (docs/decisions/0016-the-textbook-stands-on-the-chassis.md).
 */
import { chassisConfig, parseConfig } from '@oms/chassis/config'
import { createServer, type Server } from '@oms/chassis/server'
import { WIRE } from '@oms/contracts/headers'
import { Type } from 'typebox'

export type Role = 'order' | 'payment' | 'inventory'

/** Requests in flight, and ms until the answer: of each role what ours has. */
const LIMITS: Readonly<Record<Role, readonly [number, number]>> = {
  order: [120, 10_500],
  payment: [60, 1700],
  inventory: [15, 800],
}

export function createTextbookServer(
  role: Role,
  env: Readonly<Record<string, string | undefined>>,
): Server {
  const config = parseConfig(Type.Object(chassisConfig), env)
  const [limit, ownDeadlineMs] = LIMITS[role]
  return createServer({
    ...config,
    ...WIRE,
    serviceName: `textbook-${role}`,
    limit,
    ownDeadlineMs,
  })
}
