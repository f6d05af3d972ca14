import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const folder = new URL('../src/', import.meta.url)

/** Words of what the services are about; `in order`, `order` of English and SQL's ORDER BY are none. */
const BUSINESS = [
  /\border(s|_\w+|Id|-service)\b/i,
  /\bx-(order|tenant|request-deadline)-\w+/i,
  /payment|inventory|reservation|refund|\bcharge[ds]?\b|\bstock\b|\bsku\b|idempotency/i,
]

test.each(readdirSync(folder))('%s knows no business word', (name) => {
  const text = readFileSync(fileURLToPath(new URL(name, folder)), 'utf8')
  const found = text
    .split('\n')
    .flatMap((line, i) =>
      BUSINESS.some((word) => word.test(line)) ? [`${name}:${i + 1} ${line.trim()}`] : [],
    )
  expect(found).toEqual([])
})
