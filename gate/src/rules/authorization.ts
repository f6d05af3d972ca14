/** G5: the AuthorizationPolicies say what e2e/authz-matrix.ts says, nothing more and nothing less. */
import { AUTHZ_MATRIX, type AuthzRow, type Operation } from '@oms/e2e/authz-matrix'
import type { KubernetesObject } from '@oms/lab/kubectl'
import type { ManifestSet } from '../manifests.ts'
import { fieldsNamed, findObject, idOf, ofKind, podsOf, podsSelected } from '../objects.ts'
import { inSets, type Rule } from '../rule.ts'

interface PolicyRule {
  readonly from?: readonly { readonly source: Readonly<Record<string, readonly string[]>> }[]
  readonly to?: readonly { readonly operation: Readonly<Record<string, readonly string[]>> }[]
  readonly when?: readonly { readonly key: string; readonly values?: readonly string[] }[]
}

const MESH_WIDE = 'AuthorizationPolicy istio-system/deny-all'

function rulesOf({ spec }: KubernetesObject): readonly PolicyRule[] {
  return spec.rules ?? []
}

function policiesOf(set: ManifestSet): readonly KubernetesObject[] {
  return ofKind(set, 'AuthorizationPolicy').filter((policy) => idOf(policy) !== MESH_WIDE)
}

const ANYTHING = 'whatever the routes lead to'

/** One sentence for each thing that a rule allows: `principal … may POST /api/v1/payments`. */
function allowedBy({ from, to, when = [] }: PolicyRule): readonly string[] {
  const conditions = when
    .map(({ key, values = [] }) => ` where ${key} is ${values.join(' or ')}`)
    .join('')
  const callers = (from ?? [{ source: {} }]).flatMap(({ source }) => {
    const fields = Object.entries(source).flatMap(([field, values]) =>
      values.map((value) => `${field} ${value}`),
    )
    return fields.length === 0 ? ['anyone'] : fields
  })
  const operations = (to ?? [{ operation: {} }]).flatMap(({ operation }) => {
    const { methods, paths, hosts, ports, ...rest } = operation
    const others = Object.entries(rest).map(([field, values]) => ` ${field} ${values.join()}`)
    const targets = [
      ...(paths ?? []),
      ...(hosts ?? []),
      ...(ports ?? []).map((port) => `port ${port}`),
    ]
    const all = product(methods ?? [], targets).map((each) => each + others.join(''))
    return all.length === 0 ? [others.join('') || ANYTHING] : all
  })
  return callers.flatMap((caller) =>
    operations.map((operation) => `${caller}${conditions} may ${operation}`),
  )
}

function product(methods: readonly string[], targets: readonly string[]): readonly string[] {
  if (methods.length === 0) return targets
  if (targets.length === 0) return methods
  return methods.flatMap((method) => targets.map((target) => `${method} ${target}`))
}

/** A row in the words of an AuthorizationPolicy. */
function ruleOf({ callers, may }: AuthzRow): PolicyRule {
  const to =
    may === undefined ? {} : { to: may.map((operation) => ({ operation: strings(operation) })) }
  if (callers === 'anyone') return to
  if ('issuer' in callers) {
    const when = [{ key: `request.auth.claims[${callers.claim}]`, values: ['*'] }]
    return { from: [{ source: { requestPrincipals: [`${callers.issuer}/*`] } }], when, ...to }
  }
  return { from: [{ source: { ...callers } }], ...to }
}

function strings(operation: Operation): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(
    Object.entries(operation).map(([field, values]) => [field, values.map(String)]),
  )
}

function rowsOf({ metadata: { name, namespace } }: KubernetesObject): readonly AuthzRow[] {
  return AUTHZ_MATRIX.filter((row) => row.policy === name && row.namespace === namespace)
}

/** Its pods are reached by a protocol that the proxies do not read. */
function isForTcp(set: ManifestSet, { metadata, spec }: KubernetesObject): boolean {
  const labels = spec.selector?.matchLabels
  if (labels === undefined) return false
  const pods = podsSelected(podsOf(set), metadata.namespace, { matchLabels: labels })
  const ports = pods.flatMap((each) => each.spec.containers.flatMap(({ ports: all = [] }) => all))
  return (
    ports.length > 0 && ports.some(({ name = '' }: { name?: string }) => name.startsWith('tcp-'))
  )
}

/** Segments, `{*}` for a whole one, `/*` at the very end. */
const PATH = /^(\/([\w.-]+|\{\*\}))+(\/\*)?$/

export const authorizationRules: readonly Rule[] = [
  inSets({
    gate: 'G5',
    name: 'whatever nobody allows is refused in the whole mesh',
    why: 'Only a policy in the root namespace with an empty spec denies everywhere; `rules: [{}]` allows everything, and in a namespace it proves nothing beside the others.',
    mend: 'AuthorizationPolicy deny-all in istio-system with `spec: {}`.',
    subjects: (set) => [findObject(set, MESH_WIDE)],
    wrong(policy) {
      if (policy === undefined) return [`${MESH_WIDE} is not there`]
      return Object.keys(policy['spec'] ?? {}).length === 0
        ? []
        : [`${MESH_WIDE}: spec is ${JSON.stringify(policy['spec'])}, not {}`]
    },
  }),
  inSets({
    gate: 'G5',
    name: 'every policy allows what the matrix says, and nothing else',
    why: 'A path too much is an open door, one too few is 403 for a request that must pass; both look right in a review.',
    mend: 'Make the policy and e2e/authz-matrix.ts say the same.',
    subjects: policiesOf,
    wrong(policy) {
      const rows = rowsOf(policy)
      if (rows.length === 0) return [`${idOf(policy)}: no row of e2e/authz-matrix.ts knows it`]
      const said = new Set(rulesOf(policy).flatMap(allowedBy))
      const wanted = new Set(rows.map(ruleOf).flatMap(allowedBy))
      return [
        ...[...said]
          .filter((each) => !wanted.has(each))
          .map((each) => `${idOf(policy)}: ${each}, but the matrix says no`),
        ...[...wanted]
          .filter((each) => !said.has(each))
          .map((each) => `${idOf(policy)}: it lacks that ${each}`),
      ]
    },
  }),
  inSets({
    gate: 'G5',
    name: 'every policy is about the pods that the matrix says',
    why: 'Without its selector an ALLOW opens every pod of the namespace.',
    mend: 'spec.selector.matchLabels: the labels of `callee` in e2e/authz-matrix.ts.',
    subjects: policiesOf,
    wrong(policy) {
      const labels = policy['spec'].selector?.matchLabels
      return rowsOf(policy)
        .filter(({ callee }) => JSON.stringify(callee) !== JSON.stringify(labels))
        .map(
          ({ callee }) =>
            `${idOf(policy)}: spec.selector.matchLabels is ${JSON.stringify(labels)}, not ${JSON.stringify(callee)}`,
        )
    },
  }),
  inSets({
    gate: 'G5',
    name: 'every row of the matrix has its policy',
    why: 'deny-all refuses what no policy allows: a deleted policy is an outage.',
    mend: 'Write it, or delete the row in e2e/authz-matrix.ts.',
    subjects: () => AUTHZ_MATRIX,
    wrong({ policy, namespace }, set) {
      const id = `AuthorizationPolicy ${namespace}/${policy}`
      return findObject(set, id) === undefined ? [`${id} is not there`] : []
    },
  }),
  inSets({
    gate: 'G5',
    name: 'policies only allow',
    why: 'A DENY that matches too little lets pass what deny-all refuses anyway, one that matches too much is an outage; ALLOW fails closed.',
    mend: 'action: ALLOW, and leave the refusing to deny-all.',
    subjects: policiesOf,
    wrong: (policy) =>
      (policy['spec'].action ?? 'ALLOW') === 'ALLOW'
        ? []
        : [`${idOf(policy)}: spec.action is ${policy['spec'].action}`],
  }),
  inSets({
    gate: 'G5',
    name: 'nobody is allowed by a bare wildcard',
    why: '`*` is anybody with a certificate of the mesh: every pod of every namespace.',
    mend: 'Write the accounts out: cluster.local/ns/<namespace>/sa/<account>.',
    subjects: (set) => ofKind(set, 'AuthorizationPolicy'),
    wrong: (policy) =>
      ['principals', 'namespaces', 'serviceAccounts', 'requestPrincipals']
        .flatMap((field) => fieldsNamed(field, policy['spec'], 'spec'))
        .filter(({ value }) =>
          value.some((each: string) => each === '*' || /^cluster\.local\/.*\*/.test(each)),
        )
        .map(({ path, value }) => `${idOf(policy)}: ${path} is ${JSON.stringify(value)}`),
  }),
  inSets({
    gate: 'G5',
    name: 'every rule says who, but for the port where traces are read',
    why: 'A rule without `from` admits callers without any identity: with a PERMISSIVE port the whole cluster.',
    mend: 'from: [{source: {principals: […]}}]',
    subjects: policiesOf,
    wrong: (policy) =>
      rulesOf(policy).flatMap(({ from = [], to = [] }, index) => {
        const onlyTraces =
          to.length > 0 &&
          to.every(
            ({ operation: { ports, ...rest } }) =>
              String(ports) === '16686' && Object.keys(rest).length === 0,
          )
        const named = from.length > 0 && from.every(({ source }) => Object.keys(source).length > 0)
        return named || onlyTraces ? [] : [`${idOf(policy)}: spec.rules[${index}].from is missing`]
      }),
  }),
  inSets({
    gate: 'G5',
    name: 'a path is segments, {*} for a whole one, /* at the end beside the path without it',
    why: '`/x/*` misses `/x`, `/x*` also admits `/x-admin`, and a `*` in the middle is a letter.',
    mend: 'Both /x and /x/*; {*} for one segment.',
    subjects: policiesOf,
    wrong: (policy) =>
      fieldsNamed('paths', policy['spec'], 'spec').flatMap(({ path, value }) =>
        (value as readonly string[])
          .filter(
            (each) =>
              !PATH.test(each) ||
              (each.endsWith('/*') && !value.includes(each.slice(0, -'/*'.length))),
          )
          .map((each) => `${idOf(policy)}: ${path} has ${each}`),
      ),
  }),
  inSets({
    gate: 'G5',
    name: 'a rule for TCP speaks of ports only',
    why: 'On a TCP port a field of HTTP never matches: an ALLOW with one refuses everyone, and the webhook accepts it.',
    mend: 'operation: {ports: ["…"]} and nothing beside it.',
    subjects: (set) => policiesOf(set).filter((policy) => isForTcp(set, policy)),
    wrong: (policy) =>
      rulesOf(policy).flatMap(({ to = [], when = [] }, index) => {
        const fields = to
          .flatMap(({ operation }) => Object.keys(operation))
          .filter((each) => each !== 'ports')
        const keys = when.map(({ key }) => key).filter((key) => key.startsWith('request.'))
        return [...fields, ...keys].map(
          (field) => `${idOf(policy)}: spec.rules[${index}] has ${field}`,
        )
      }),
  }),
]
