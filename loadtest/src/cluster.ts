/** The lab, or another cluster by its context: the API by its gateway, everything else by the API server. */
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { ROOT } from '@oms/lab/folders'
import { GATEWAY_CA, GATEWAY_HOST } from '@oms/lab/gateway'
import { requireLab, urlOf } from '@oms/lab/lab'
import { type KubernetesObject, pathOf, until } from '@oms/proofs/cluster/api'
import { runAudit } from '@oms/proofs/cluster/audit'
import { openMesh } from '@oms/proofs/cluster/mesh'
import { OM } from '@oms/proofs/cluster/names'
import type { Session } from '@oms/proofs/session'
import { parseAllDocuments } from 'yaml'
import { LoadtestError } from './errors.ts'
import { ofSku, type StockPage } from './local.ts'
import { auditFlags, type Target } from './target.ts'

export interface ClusterOptions {
  readonly session: Session
  /** Of the gateway, as clients reach it; the lab has its own. */
  readonly url?: string | undefined
  /** Path of who signed its certificate. */
  readonly authority?: string | undefined
}

/** @throws LoadtestError where the gateway cannot be reached or nobody can sign a token. */
export async function openCluster({ session, ...options }: ClusterOptions): Promise<Target> {
  const mesh = (await openMesh()).begin('loadtest')
  const { capabilities, target } = mesh
  if (!capabilities.token)
    throw new LoadtestError(
      `Nobody here can sign a token that the gateway of ${target.name} accepts. Name the private key behind its jwks: --token-key FILE`,
    )
  const door = doorOf(target.lab !== undefined, options, target.name)
  // Its own lifetime, and a run's.
  const tokens = new Map<string, string>()
  async function headersOf(tenant: string) {
    const token = tokens.get(tenant) ?? (await mesh.token({ tenant }))
    tokens.set(tenant, token)
    return { authorization: `Bearer ${token}` }
  }
  const read = async (path: string, tenant: string): Promise<unknown> =>
    ask(door, path, await headersOf(tenant))

  return {
    name: target.name,
    url: door.url,
    hosts: door.hosts,
    ...(door.authority === undefined ? {} : { authority: door.authority }),
    headersOf,
    read,
    stockOf: async (tenant, sku) =>
      ofSku((await read('/api/v1/stock?limit=100', tenant)) as StockPage, sku),
    async supply(tenant, sku, supplied) {
      const job = await supplyJob(mesh.api.read, [{ tenant_id: tenant, sku, supplied }])
      for (const object of job) await mesh.changes.create(object)
      const path = pathOf(job[1] as KubernetesObject)
      await until('the stock raised', 60_000, async () =>
        (await mesh.api.read(path))?.['status']?.succeeded === 1 ? true : undefined,
      )
    },
    audit: (given) => runAudit(mesh.api, auditFlags(given)),
    traceUrl: (traceId) =>
      target.lab === undefined ? undefined : `${urlOf(requireLab(), 'jaeger')}/trace/${traceId}`,
    cluster: { session, mesh },
    close: () => session.leave(),
  }
}

interface Door {
  readonly url: string
  readonly hosts: Readonly<Record<string, string>>
  readonly authority?: string
}

function doorOf(
  isLab: boolean,
  { url, authority }: Omit<ClusterOptions, 'session'>,
  name: string,
): Door {
  if (url !== undefined)
    return {
      url: url.replace(/\/$/, ''),
      hosts: {},
      ...(authority === undefined ? {} : { authority }),
    }
  if (!isLab)
    throw new LoadtestError(
      `Say how clients reach the gateway of ${name}: --url https://orders.example.com (and --ca FILE where its certificate is not a public one).`,
    )
  const { host } = new URL(urlOf(requireLab(), 'gateway'))
  return { url: `https://${GATEWAY_HOST}`, hosts: { [GATEWAY_HOST]: host }, authority: GATEWAY_CA }
}

/** @throws LoadtestError with what came in place of an answer. */
function ask(
  { url, hosts, authority }: Door,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<unknown> {
  const { hostname, host, port, pathname, search } = new URL(`${url}${path}`)
  const [address, mapped] = hosts[hostname]?.split(':') ?? [hostname, port || '443']
  return new Promise((resolve, reject) => {
    const asking = request(
      {
        host: address,
        port: mapped,
        servername: hostname,
        path: `${pathname}${search}`,
        headers: { host, ...headers },
        timeout: 15_000,
        ...(authority === undefined ? {} : { ca: readFileSync(authority) }),
      },
      (answer) => {
        let text = ''
        answer.setEncoding('utf8')
        answer.on('data', (chunk: string) => (text += chunk))
        answer.on('end', () => {
          if (answer.statusCode === 200) resolve(JSON.parse(text))
          else
            reject(new LoadtestError(`${url}${path}: ${answer.statusCode} ${text.slice(0, 200)}`))
        })
      },
    )
    asking.on('timeout', () => asking.destroy(new Error('no answer in 15 s')))
    asking.on('error', ({ message }) => reject(new LoadtestError(`${url}${path}: ${message}`)))
    asking.end()
  })
}

const STOCK_JOB = join(ROOT, 'k8s/components/demo-catalogue/stock.yaml')
const NAME = 'loadtest-stock'

/** The demo catalogue's Job with another catalogue, and the image that runs. */
async function supplyJob(
  read: (path: string) => Promise<KubernetesObject | undefined>,
  supplies: readonly object[],
): Promise<readonly KubernetesObject[]> {
  const [document] = parseAllDocuments(readFileSync(STOCK_JOB, 'utf8'))
  const job = document?.toJS() as KubernetesObject
  const deployment = `/apis/apps/v1/namespaces/${OM}/deployments/inventory-service`
  const running = await read(deployment)
  const name = `${NAME}-${Date.now().toString(36)}`
  const { spec } = job['spec'].template
  spec.containers[0].image = running?.['spec'].template.spec.containers[0].image
  spec.volumes.find((volume: { name: string }) => volume.name === 'catalogue').configMap.name = name
  return [
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace: OM },
      data: { 'stock.json': JSON.stringify(supplies) },
    },
    { ...job, metadata: { ...job.metadata, name } },
  ]
}
