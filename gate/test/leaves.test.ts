import { describe, expect, test } from 'vitest'
import { mutationsOf } from '../broken/mutations.ts'
import { type Files, objectsIn, parseFile } from '../src/files.ts'
import { type Leaf, leavesIn, leavesOf } from '../src/leaves.ts'
import { type Operation, patched, valueAt } from '../src/pointers.ts'

const ROUTES = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name: 'routes', namespace: 'shop' },
  spec: {
    hosts: ['a', 'b'],
    http: [{ match: [{ headers: { 'x/y': { exact: 'yes' } } }], timeout: '2s', mirror: {} }],
    exportTo: [],
  },
}

describe('the leaves of an object', () => {
  test('are its scalars, each element of a list by itself, and what is there and empty', () => {
    const leaves = leavesIn(ROUTES, ['/spec'])
    expect(leaves.map(({ pointer, value }) => [pointer, value])).toEqual([
      ['/spec/hosts/0', 'a'],
      ['/spec/hosts/1', 'b'],
      ['/spec/http/0/match/0/headers/x~1y/exact', 'yes'],
      ['/spec/http/0/timeout', '2s'],
      ['/spec/http/0/mirror', {}],
      ['/spec/exportTo', []],
    ])
    expect(leaves[0]?.id).toBe('VirtualService shop/routes /spec/hosts/0')
  })

  test('are one where the spec itself is empty, and none where it is not there', () => {
    expect(leavesIn({ ...ROUTES, spec: {} }, ['/spec']).map(({ pointer }) => pointer)).toEqual([
      '/spec',
    ])
    expect(leavesIn(ROUTES, ['/data'])).toEqual([])
  })
})

test('the leaves of the mesh are of what is listed, of the example, and of two parts of the control plane', () => {
  const object = (kind: string, name: string, spec: string): string =>
    `apiVersion: v1\nkind: ${kind}\nmetadata: {name: ${name}}\nspec: ${spec}\n`
  const files = new Map(
    Object.entries({
      'istio-config/kustomization.yaml': 'resources: [a.yaml]\n',
      'istio-config/a.yaml': object('Sidecar', 'a', '{x: 1}'),
      'istio-config/application.yaml': object('Application', 'app', '{x: 1}'),
      'istio-config/multi-tenant-isolation.yaml': object('Sidecar', 'example', '{x: 1}'),
      'istio-control-plane/gateways/kustomization.yaml': 'resources: [in.yaml]\n',
      'istio-control-plane/gateways/in.yaml': object('Service', 'in', '{x: 1}'),
      'istio-control-plane/istio.yaml': object(
        'Istio',
        'default',
        '{version: 1, values: {global: {x: 1}, pilot: {x: 1}, meshConfig: {x: 1}}}',
      ),
    }).map(([path, text]) => [path, parseFile(path, text)]),
  )
  expect(leavesOf(files).map(({ id }) => id)).toEqual([
    'Sidecar a /spec/x',
    'Service in /spec/x',
    'Sidecar example /spec/x',
    'Istio default /spec/values/pilot/x',
    'Istio default /spec/values/meshConfig/x',
  ])
})

describe('the mutations of a leaf', () => {
  /** What becomes of the spec `{field: value}`. */
  function specsOf(field: string, value: unknown, kind = 'Sidecar'): readonly unknown[] {
    const path = 'istio-config/a.yaml'
    const target = { apiVersion: 'v1', kind, metadata: { name: 'a' }, spec: { [field]: value } }
    const files: Files = new Map([[path, { text: '', documents: [target], errors: [] }]])
    const leaf = {
      ...leavesIn(target, ['/spec'])[0],
      manifest: path,
    } as Leaf
    return mutationsOf(files, leaf).map((mutation) => {
      const [file] = mutation.files.values()
      return file === undefined ? undefined : objectsIn(file)[0]?.['spec']
    })
  }

  test.each([
    ['a switch', true, false],
    ['a number', 0, 1],
    ['a time', '10s', '20s'],
    ['a quantity', '128Mi', '256Mi'],
    ['a number in quotes', '5432', '10865'],
    ['one of a few', 'STRICT', 'PERMISSIVE'],
    ['a name', 'jaeger', 'jaeger-other'],
    ['YAML in an annotation', '{a: {b: c}}', '{a: {b: c-other}}'],
  ])('are none and another of its kind: %s', (_what, value, other) => {
    expect(specsOf('field', value)).toEqual([{}, { field: other }])
  })

  test('are only another where none is the same to the API', () => {
    expect(specsOf('action', 'ALLOW', 'AuthorizationPolicy')).toEqual([{ action: 'DENY' }])
    expect(specsOf('protocol', 'TCP', 'NetworkPolicy')).toEqual([{ protocol: 'SCTP' }])
    expect(specsOf('protocol', 'TCP', 'ServiceEntry')).toHaveLength(2)
  })
})

describe('a JSON patch', () => {
  const document = { list: ['a', 'b'], inner: { x: 1 } }
  test.each<[string, Operation[], object]>([
    ['inserts', [{ op: 'add', path: '/list/1', value: 'c' }], { list: ['a', 'c', 'b'] }],
    ['appends', [{ op: 'add', path: '/list/-', value: 'c' }], { list: ['a', 'b', 'c'] }],
    ['closes the gap', [{ op: 'remove', path: '/list/0' }], { list: ['b'] }],
    [
      'goes on where it is',
      [
        { op: 'remove', path: '/list/0' },
        { op: 'replace', path: '/list/0', value: 'c' },
      ],
      { list: ['c'] },
    ],
  ])('%s', (_what, operations, expected) => {
    expect(patched(document, operations)).toEqual({ ...document, ...expected })
    expect(document.list).toEqual(['a', 'b'])
  })

  test('ends where a test does not hold, or nothing is there', () => {
    expect(() => patched(document, [{ op: 'test', path: '/inner/x', value: 2 }])).toThrow(
      'test /inner/x: there stands 1',
    )
    expect(() => patched(document, [{ op: 'replace', path: '/list/2', value: 2 }])).toThrow(
      'replace /list/2: it leads nowhere',
    )
    expect(() => patched(document, [{ op: 'add', path: '/no/x', value: 2 }])).toThrow(
      'there is no no to go into',
    )
    expect(valueAt(document, '/list/2/x')).toBeUndefined()
  })
})
