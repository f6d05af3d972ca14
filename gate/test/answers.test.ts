import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '@oms/lab/folders'
import { expect, test } from 'vitest'
import {
  HARD_STOP_MS,
  INVENTORY_ANSWERS_MS,
  ORDER_ANSWERS_MS,
  PAYMENT_ANSWERS_MS,
} from '../src/rules/arithmetic.ts'

test.each([
  ['services/order/src/app.ts', 'ANSWER_WITHIN_MS', ORDER_ANSWERS_MS],
  ['services/payment/src/app.ts', 'ANSWER_WITHIN_MS', PAYMENT_ANSWERS_MS],
  ['services/inventory/src/app.ts', 'ANSWER_WITHIN_MS', INVENTORY_ANSWERS_MS],
  ['packages/chassis/src/lifecycle.ts', 'HARD_STOP_MS', HARD_STOP_MS],
])('the arithmetic counts with the time that %s itself takes', (file, name, ms) => {
  const [, value = ''] =
    new RegExp(`^const ${name} = ([\\d_]+)$`, 'm').exec(readFileSync(join(ROOT, file), 'utf8')) ??
    []
  expect(Number(value.replaceAll('_', ''))).toBe(ms)
})
