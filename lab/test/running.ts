/** Vitest's globalSetup: one lab for all files of the project `lab`; end.test.ts ends it and looks what it left. */
import type { TestProject } from 'vitest/node'
import { lab, succeed } from './cli.ts'
import { hostState } from './host.ts'

export async function setup({ vitest }: TestProject): Promise<void> {
  await lab('down')
  vitest.provide('hostBefore', await hostState())
  try {
    console.log(await succeed('up'))
  } catch (error) {
    await lab('down')
    throw error
  }
}

/** Where end.test.ts did not run. */
export async function teardown(): Promise<void> {
  await lab('down')
}
