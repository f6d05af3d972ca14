/** The candidate: the same route on the chassis as a service has it, every default on. */
import { chassisConfig, parseConfig } from '@oms/chassis/config'
import { createServer } from '@oms/chassis/server'
import { WIRE } from '@oms/contracts/headers'
import { Type } from 'typebox'
import { serveMeasured } from './measured.ts'
import { PATH, SCHEMA, thing } from './thing.ts'

const config = parseConfig(Type.Object(chassisConfig), process.env)
const server = createServer({
  ...config,
  ...WIRE,
  serviceName: 'thing-service',
  limit: 120,
  ownDeadlineMs: 10_500,
})
server.get(PATH, { schema: SCHEMA }, async ({ params }) => thing(params.id))
server.chassis.phase = 'ready'
await serveMeasured(server)
