/** Load from a process of its own: `load.ts URL SECONDS` prints what was answered. */
import { randomUUID } from 'node:crypto'
import autocannon from 'autocannon'

const [url = '', seconds = '1'] = process.argv.slice(2)
const result = await autocannon({
  url,
  connections: 32,
  duration: Number(seconds),
  headers: {
    'x-tenant-id': 'bench',
    'x-request-id': randomUUID(),
    'x-request-deadline-ms': '10000',
  },
})
process.stdout.write(
  JSON.stringify({
    answered: result['2xx'],
    refused: result.non2xx + result.errors + result.timeouts,
    perSecond: result.requests.average,
  }),
)
