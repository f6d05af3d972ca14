import { describe, expect, test } from 'vitest'
import { runCommand } from '../src/operations.ts'

async function runWith(argv: readonly string[]) {
  const ran: string[] = []
  const err: string[] = []
  const code = await runCommand(
    argv,
    {
      serve: async () => void ran.push('serve'),
      load: async (file) => {
        ran.push(`load ${file}`)
        return 2
      },
      break: async () => {
        throw new Error('the disk is full')
      },
    },
    { log: () => undefined, error: (line) => void err.push(line) },
  )
  return { code, ran, err }
}

describe('the first word after a bundle', () => {
  test('where there is none, serves', async () => {
    expect(await runWith([])).toEqual({ code: undefined, ran: ['serve'], err: [] })
  })

  test('names the operation, which gets the second word and gives the exit code', async () => {
    expect(await runWith(['load', 'FILE'])).toEqual({ code: 2, ran: ['load FILE'], err: [] })
  })

  test.each(['nope', 'toString', '__proto__'])(
    'that is no operation (%s) is refused with those that are',
    async (name) => {
      const { code, ran, err } = await runWith([name])
      expect({ code, ran }).toEqual({ code: 2, ran: [] })
      expect(err).toEqual([`There is no operation "${name}". Use one of: serve, load, break.`])
    },
  )

  test('whose operation fails says why in one sentence, exit code 1', async () => {
    expect(await runWith(['break'])).toEqual({
      code: 1,
      ran: [],
      err: ['break: the disk is full'],
    })
  })
})
