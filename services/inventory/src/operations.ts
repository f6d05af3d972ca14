/** What an operator runs by hand, from the same bundle. */
import { readFile } from 'node:fs/promises'
import { stopOnce } from '@oms/chassis/lifecycle'
import { WIRE } from '@oms/contracts/headers'
import { Sku } from '@oms/contracts/order'
import { type Static, Type } from 'typebox'
import { Errors } from 'typebox/value'
import type { InventoryApp } from './app.ts'

interface Terminal {
  log(line: string): void
  error(line: string): void
}

/** 10¹² units: far below 2⁵³, so a JSON number holds every count exactly. */
const MAX_SUPPLIED = 1_000_000_000_000

const Entry = Type.Object(
  {
    tenant_id: Type.String({ pattern: WIRE.tenantPattern }),
    sku: Sku,
    supplied: Type.Integer({ minimum: 0, maximum: MAX_SUPPLIED }),
  },
  { additionalProperties: false },
)
type Entry = Static<typeof Entry>

class BadFile extends Error {}

/**
 * Raises what was supplied to at least what the file says: JSON, an array of `{tenant_id, sku, supplied}`. The whole
 * file is checked first; run twice, it changes nothing. Returns the exit code.
 */
export async function supplyStock(
  { server, stock }: InventoryApp,
  file: string | undefined,
  terminal: Terminal,
): Promise<number> {
  try {
    if (file === undefined) {
      terminal.error('Name the file: stock FILE, JSON, an array of {tenant_id, sku, supplied}.')
      return 2
    }
    const entries = await readEntries(file)
    let raised = 0
    for (const { tenant_id, sku, supplied } of entries) {
      const { role } = await stock.supply({ tenantId: tenant_id, sku, supplied })
      if (role === 'raised') raised++
    }
    terminal.log(`${entries.length} entries: ${raised} raised, the others were there already.`)
    return 0
  } catch (error) {
    const { message, cause } = error as Error
    terminal.error(cause instanceof Error ? `${message} (${cause.message})` : message)
    return 1
  } finally {
    await stopOnce(server, 0)()
  }
}

/** @throws BadFile naming the file and the first entry that is wrong. */
async function readEntries(file: string): Promise<readonly Entry[]> {
  const entries = parse(file, await read(file))
  if (!Array.isArray(entries))
    throw new BadFile(`${file} must hold an array of {tenant_id, sku, supplied}.`)
  const indexes = new Map<string, number>()
  entries.forEach((entry: unknown, index) => {
    // The last one sums up where several are about the same member.
    const wrong = Errors(Entry, entry).at(-1)
    if (wrong !== undefined)
      throw new BadFile(
        `Entry ${index} of ${file} is wrong: ${wrong.instancePath || 'it'} ${wrong.message}. It is ${JSON.stringify(entry)}.`,
      )
    const { tenant_id, sku } = entry as Entry
    const earlier = indexes.get(`${tenant_id} ${sku}`)
    if (earlier !== undefined)
      throw new BadFile(
        `Entries ${earlier} and ${index} of ${file} both supply ${tenant_id} ${sku}.`,
      )
    indexes.set(`${tenant_id} ${sku}`, index)
  })
  return entries
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new BadFile(`${file} cannot be read; check path and mode`, { cause })
  }
}

function parse(file: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new BadFile(`${file} is not JSON`, { cause })
  }
}
