/** `npm start` of this checkout, on loopback: its ports and its `.data`. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bundleOf } from '@oms/e2e/system'
import { exec } from '@oms/lab/command'
import { ROOT } from '@oms/lab/folders'
import { askAudit } from '@oms/proofs/cluster/audit'
import { LoadtestError } from './errors.ts'
import type { Stock, Target } from './target.ts'
import { auditFlags } from './target.ts'

const LOOPBACK = /^(127\.\d+\.\d+\.\d+|localhost|\[::1\])$/

export function isLoopback(url: string): boolean {
  return URL.canParse(url) && LOOPBACK.test(new URL(url).hostname)
}

/** @throws LoadtestError where nobody answers, or somebody else does. */
export async function openLocal(url: string, dataDir = join(ROOT, '.data')): Promise<Target> {
  const { port, hostname } = new URL(url)
  const origin = (offset: number): string => `http://${hostname}:${Number(port || 80) + offset}`
  await requireOrders(url)
  const postmaster = join(dataDir, 'postgres/postmaster.pid')
  if (!existsSync(postmaster))
    throw new LoadtestError(
      `${url} answers, but ${dataDir} has no PostgreSQL that runs: the audit could not look. Start the system here with npm start.`,
    )
  const postgresPort = readFileSync(postmaster, 'utf8').split('\n')[3]
  const password = readFileSync(join(dataDir, 'password'), 'utf8')
  const database = (name: string, user = `postgres:${encodeURIComponent(password)}`): string =>
    `postgres://${user}@127.0.0.1:${postgresPort}/oms_${name}`

  const headersOf = async (tenant: string) => ({ 'x-tenant-id': tenant })
  const read = async (at: string, path: string, tenant: string): Promise<unknown> => {
    const answer = await fetch(`${at}${path}`, { headers: await headersOf(tenant) })
    if (!answer.ok) throw new LoadtestError(`${at}${path}: ${answer.status}`)
    return answer.json()
  }

  return {
    name: `npm start on ${url}`,
    url,
    hosts: {},
    headersOf,
    read: (path, tenant) => read(url, path, tenant),
    async stockOf(tenant, sku) {
      const page = (await read(origin(2), '/api/v1/stock?limit=100', tenant)) as StockPage
      return ofSku(page, sku)
    },
    async supply(tenant, sku, supplied) {
      const folder = mkdtempSync(join(tmpdir(), 'oms-stock-'))
      try {
        const file = join(folder, 'stock.json')
        writeFileSync(file, JSON.stringify([{ tenant_id: tenant, sku, supplied }]))
        const { code, stderr, stdout } = await exec(
          process.execPath,
          [bundleOf('inventory'), 'stock', file],
          {
            env: {
              ...process.env,
              DEPLOYMENT: 'local',
              DATABASE_URL: database('inventory', 'oms_inventory'),
              DATABASE_PASSWORD_FILE: join(dataDir, 'secrets/database-password'),
            },
          },
        )
        if (code !== 0) throw new LoadtestError(`The stock could not be raised: ${stderr}${stdout}`)
      } finally {
        rmSync(folder, { recursive: true })
      }
    },
    audit: (options) =>
      askAudit(
        {
          ...process.env,
          ORDER_DATABASE_URL: database('order'),
          INVENTORY_DATABASE_URL: database('inventory'),
          PAYMENT_DATABASE_URL: database('payment'),
          PROCESSOR_URL: origin(3),
        },
        auditFlags(options),
      ),
    traceUrl: () => undefined,
    async close() {},
  }
}

export interface StockPage {
  readonly items: readonly (Stock & { readonly sku: string })[]
}

export function ofSku({ items }: StockPage, sku: string): Stock {
  return items.find((item) => item.sku === sku) ?? { available: 0, reserved: 0, sold: 0 }
}

async function requireOrders(url: string): Promise<void> {
  const answer = await fetch(`${url}/api/v1/orders`).catch(() => undefined)
  const type = answer?.headers.get('content-type') ?? ''
  if (answer === undefined)
    throw new LoadtestError(
      `Nobody answers on ${url}. Start the system: npm start; or the lab: npx pnpm@12.21.0 lab:main up; or name another: --url, --context.`,
    )
  // Without a tenant the API refuses, in its own words.
  if (!type.startsWith('application/problem+json'))
    throw new LoadtestError(
      `What answers on ${url} is not this product's order API (${answer.status}, ${type}). Nothing was sent to it.`,
    )
}
