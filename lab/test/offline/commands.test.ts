import { expect, test } from 'vitest'
import { lab } from '../cli.ts'

test.each([
  [['fly'], /^There is no command fly\.[\s\S]*pnpm lab up/],
  [['up', '--port-offset', 'ten'], /^--port-offset is a whole number/],
  [['up', '--fast'], /Unknown option '--fast'/],
])('%s is answered with what to do', async (args, sentence) => {
  const { code, stderr } = await lab(...args)
  expect(stderr).toMatch(sentence)
  expect(code).toBe(1)
})

test('help lists the commands', async () => {
  const { code, stdout } = await lab('help')
  expect(code).toBe(0)
  for (const command of ['build', 'up', 'status', 'deploy', 'logs', 'kubectl', 'exec', 'down'])
    expect(stdout).toContain(`pnpm lab ${command}`)
})
