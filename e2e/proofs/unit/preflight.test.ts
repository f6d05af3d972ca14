/** What a new user reads where the proofs cannot run; the cluster is invented. */
import { describe, expect, it } from 'vitest'
import { type Api, ApiError, type KubernetesObject } from '../cluster/api.ts'
import { CHANGED, MARKER, preflight } from '../cluster/preflight.ts'
import type { Target } from '../cluster/target.ts'

const TARGET: Target = { name: 'context kind', context: 'kind', journal: '/nowhere' }
/** As good as any object that is looked for. */
const READY = { apiVersion: '', kind: '', metadata: { name: '' }, status: { readyReplicas: 1 } }

interface Cluster {
  /** Ends of paths of what it lacks; default: it has whatever is looked for. */
  readonly without?: readonly string[]
  readonly mayNot?: readonly string[]
  readonly unmarked?: readonly string[]
  readonly refuses?: ApiError
}

/** Refuses every change: nothing may be touched. */
function apiOf({ without = [], mayNot = [], unmarked = [], refuses }: Cluster): Api {
  const namespaces = CHANGED.map((name) => ({
    metadata: { name, labels: unmarked.includes(name) ? {} : { [MARKER]: 'true' } },
  }))
  const api: Pick<Api, 'text' | 'read' | 'list' | 'config'> = {
    config: { getCurrentCluster: () => ({ server: 'https://127.0.0.1:1' }) } as Api['config'],
    async text(path, { method = 'GET', body } = {}) {
      if (refuses !== undefined) throw refuses
      if (path === '/version') return '{}'
      if (!path.endsWith('/selfsubjectaccessreviews')) throw new Error(`${method} ${path}`)
      const { verb, resource } = (body as Review).spec.resourceAttributes
      return JSON.stringify({ status: { allowed: !mayNot.includes(`${verb} ${resource}`) } })
    },
    read: async (path) => (without.some((end) => path.endsWith(end)) ? undefined : READY),
    list: async () => namespaces as unknown as readonly KubernetesObject[],
  }
  return api as Api
}

interface Review {
  readonly spec: {
    readonly resourceAttributes: { readonly verb: string; readonly resource: string }
  }
}

const ask = (cluster: Cluster, target = TARGET) => preflight(apiOf(cluster), target, [])

describe('before the proofs', () => {
  it('a cluster that has all of it is taken', async () => {
    await expect(ask({})).resolves.toBeUndefined()
  })

  it.each([
    [
      'credentials that are refused',
      { refuses: new ApiError(401, 'Unauthorized') },
      'refuses your credentials: Unauthorized (401)',
    ],
    ['no Istio', { without: ['/istiod'] }, 'Istio is not installed here'],
    [
      'rights that are missing',
      { mayNot: ['patch virtualservices'] },
      'Your account may not patch virtualservices in order-management.',
    ],
    [
      'a product that is not whole',
      { without: ['/deny-all', '/order-service'] },
      'Deployment order-management/order-service is missing; AuthorizationPolicy istio-system/deny-all is missing. Install it: docs/kind.md',
    ],
    [
      'a namespace without its marker',
      { unmarked: ['order-management'] },
      `kubectl label namespace order-management ${MARKER}=true`,
    ],
  ])('%s: a sentence says what to do', async (_, cluster, sentence) => {
    await expect(ask(cluster)).rejects.toThrow(sentence)
  })

  it('without Istio nobody is told of the product, too', async () => {
    // Every path.
    await expect(ask({ without: [''] })).rejects.toThrow(/not ready.*\n- Istio is not installed.*$/)
  })

  it('in the lab a product that is not whole is mended by one command', async () => {
    const lab = { ...TARGET, name: 'the lab', lab: '.lab' }
    await expect(ask({ without: ['/deny-all'] }, lab)).rejects.toThrow('Mend it: pnpm lab apply.')
  })
})
