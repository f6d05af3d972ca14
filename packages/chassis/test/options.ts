/** What the chassis's own tests create a server with. */
import { WIRE } from '@oms/contracts/headers'
import type { ServerOptions } from '../src/server.ts'

export const OPTIONS: ServerOptions = {
  ...WIRE,
  serviceName: 'thing-service',
  POD_NAME: 'thing-1',
  APP_VERSION: 'test',
  LOG_LEVEL: 'info',
  TRACE_EXPORTER: 'none',
  TRACE_URL: 'http://127.0.0.1:9/',
  TRACE_RATIO: 0,
  limit: 64,
  ownDeadlineMs: 5000,
}
