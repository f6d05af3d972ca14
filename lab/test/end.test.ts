import { expect, inject, test } from 'vitest'
import { succeed } from './cli.ts'
import { hostState } from './host.ts'

test('down leaves no process, mount, interface, rule or cgroup', async () => {
  const startedAt = performance.now()
  await succeed('down')
  console.log(`down took ${((performance.now() - startedAt) / 1000).toFixed(1)} s`)
  expect(await hostState()).toEqual(inject('hostBefore'))
})
