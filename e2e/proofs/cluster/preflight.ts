/** Whether the proofs can run on a cluster: all that stands in the way, each with what to do. Changes nothing. */
import { type Api, ApiError } from './api.ts'
import { EGRESS, EXTERNAL, INGRESS, JAEGER, OM, PROBES, PSP, SYSTEM } from './names.ts'
import type { Target } from './target.ts'

/** A whole sentence for the person at the terminal. */
export class ProofsError extends Error {}

/** Namespaces of the product in which proofs change things. */
export const CHANGED = [OM, SYSTEM, INGRESS, EGRESS, JAEGER, PSP] as const
/** `true` on a namespace: proofs may change things there. */
export const MARKER = 'proofs.order-management.example.com/may-change'
/** On what the proofs made. */
export const MADE_BY = { 'proofs.order-management.example.com/made': 'true' }

/** @throws ProofsError */
export async function preflight(api: Api, target: Target, touch: readonly string[]): Promise<void> {
  await requireAnswer(api, target)
  const obstacles = (await Promise.all([lackOfIstio(api), lackOfRights(api)])).flat()
  if (obstacles.length === 0) obstacles.push(...(await lackOfProduct(api, target)))
  if (obstacles.length === 0) obstacles.push(...(await lackOfMarkers(api, touch)))
  if (obstacles.length > 0)
    throw new ProofsError(
      `${target.name} is not ready; nothing was touched.\n${obstacles.map((each) => `- ${each}`).join('\n')}`,
    )
}

async function requireAnswer(api: Api, { name }: Target): Promise<void> {
  try {
    await api.text('/version', { timeoutMs: 5000 })
  } catch (error) {
    const server = api.config.getCurrentCluster()?.server
    const other = 'Choose another: pnpm e2e --context NAME; or bring up the lab: pnpm lab up.'
    if (error instanceof ApiError)
      throw new ProofsError(
        `${name} (${server}) refuses your credentials: ${error.message} (${error.status}). ${other}`,
      )
    throw new ProofsError(`${name} (${server}) does not answer: ${reasonOf(error)}. ${other}`)
  }
}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return code ?? message
}

const istioIsMissing =
  'Istio is not installed here (no PeerAuthentication, no istiod). Install it first: docs/kind.md; or choose another cluster: --context NAME.'

async function lackOfIstio(api: Api): Promise<readonly string[]> {
  const definition =
    '/apis/apiextensions.k8s.io/v1/customresourcedefinitions/peerauthentications.security.istio.io'
  const [known, istiod] = await Promise.all([
    readIfAllowed(api, definition),
    readIfAllowed(api, `/apis/apps/v1/namespaces/${SYSTEM}/deployments/istiod`),
  ])
  if (known === undefined || istiod === undefined) return [istioIsMissing]
  if ((istiod['status']?.readyReplicas ?? 0) === 0)
    return [`istiod is not ready. Look: kubectl -n ${SYSTEM} describe deployment istiod`]
  return []
}

/** What may not be read is told by `lackOfRights`. */
async function readIfAllowed(api: Api, path: string) {
  try {
    return await api.read(path)
  } catch (error) {
    if (error instanceof ApiError && error.status === 403)
      return { apiVersion: '', kind: '', metadata: { name: '' }, status: { readyReplicas: 1 } }
    throw error
  }
}

/** Verb, group, resource, namespace (none: of the cluster), as the API server is asked for them. */
const RIGHTS: readonly (readonly [string, string, string, string?])[] = [
  ['create', '', 'namespaces'],
  ['list', '', 'nodes'],
  ['list', 'apps', 'deployments'],
  ['list', 'apiextensions.k8s.io', 'customresourcedefinitions'],
  ['create', '', 'pods', OM],
  ['create', '', 'pods/exec', OM],
  ['create', '', 'pods/portforward', OM],
  ['get', '', 'pods/log', OM],
  ['create', '', 'pods/eviction', SYSTEM],
  ['patch', '', 'configmaps', OM],
  ['patch', 'apps', 'deployments', OM],
  ['patch', 'autoscaling', 'horizontalpodautoscalers', OM],
  ['patch', 'networking.istio.io', 'virtualservices', OM],
  ['patch', 'security.istio.io', 'peerauthentications', SYSTEM],
  ['create', '', 'pods/portforward', SYSTEM],
  ['create', '', 'pods/portforward', INGRESS],
  ['create', '', 'pods/portforward', JAEGER],
]

async function lackOfRights(api: Api): Promise<readonly string[]> {
  const denied = await Promise.all(
    RIGHTS.map(async ([verb, group, resource, namespace]) => {
      const [name, subresource] = resource.split('/')
      const review = JSON.parse(
        await api.text('/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
          method: 'POST',
          body: {
            apiVersion: 'authorization.k8s.io/v1',
            kind: 'SelfSubjectAccessReview',
            spec: { resourceAttributes: { verb, group, resource: name, subresource, namespace } },
          },
        }),
      )
      const where = namespace === undefined ? '' : ` in ${namespace}`
      return review.status.allowed ? [] : [`${verb} ${resource}${where}`]
    }),
  )
  const lacking = denied.flat()
  return lacking.length === 0
    ? []
    : [
        `Your account may not ${lacking.join('; ')}. Use one that may, such as cluster-admin of a cluster for trying out: --context NAME.`,
      ]
}

/** What `kubectl apply -k k8s/overlays/…` makes; one of each layer at least. */
const PRODUCT: readonly (readonly [string, string, string])[] = [
  ['Deployment', OM, 'order-service'],
  ['Deployment', OM, 'payment-service'],
  ['Deployment', OM, 'inventory-service'],
  ['StatefulSet', OM, 'postgres'],
  ['Deployment', INGRESS, 'istio-ingressgateway'],
  ['Deployment', EGRESS, 'istio-egressgateway'],
  ['Deployment', JAEGER, 'jaeger'],
  ['Deployment', PSP, 'card-processor'],
]
const POLICY = `/apis/security.istio.io/v1/namespaces/${SYSTEM}/authorizationpolicies/deny-all`

async function lackOfProduct(api: Api, { lab }: Target): Promise<readonly string[]> {
  const workloads = await Promise.all(
    PRODUCT.map(async ([kind, namespace, name]) => {
      const path = `/apis/apps/v1/namespaces/${namespace}/${kind.toLowerCase()}s/${name}`
      const found = await readIfAllowed(api, path)
      if (found === undefined) return [`${kind} ${namespace}/${name} is missing`]
      return (found['status']?.readyReplicas ?? 0) > 0
        ? []
        : [`${kind} ${namespace}/${name} has no ready pod`]
    }),
  )
  const policy = (await readIfAllowed(api, POLICY)) === undefined
  const lacking = [
    ...workloads.flat(),
    ...(policy ? [`AuthorizationPolicy ${SYSTEM}/deny-all is missing`] : []),
  ]
  const remedy = lab === undefined ? 'Install it: docs/kind.md; or wait' : 'Mend it: pnpm lab apply'
  return lacking.length === 0 ? [] : [`The product is not whole: ${lacking.join('; ')}. ${remedy}.`]
}

async function lackOfMarkers(api: Api, touch: readonly string[]): Promise<readonly string[]> {
  const namespaces = await api.list('/api/v1/namespaces')
  const labelsOf = (name: string): Readonly<Record<string, string>> | undefined => {
    const found = namespaces.find(({ metadata }) => metadata.name === name)
    return found === undefined ? undefined : (found.metadata.labels ?? {})
  }
  const foreign = [PROBES, EXTERNAL].filter((name) => {
    const labels = labelsOf(name)
    return labels !== undefined && !((Object.keys(MADE_BY)[0] as string) in labels)
  })
  const unmarked = CHANGED.filter(
    (name) => labelsOf(name)?.[MARKER] !== 'true' && !touch.includes(name),
  )
  return [
    ...(foreign.length === 0
      ? []
      : [`${foreign.join(', ')} is there, and not made by the proofs. Delete or rename it.`]),
    ...(unmarked.length === 0
      ? []
      : [
          `The proofs would change things in ${unmarked.join(', ')}, for some minutes. Say that they may: kubectl label namespace ${unmarked.join(' ')} ${MARKER}=true; or for this run: ${unmarked.map((name) => `--touch ${name}`).join(' ')}`,
        ]),
  ]
}
