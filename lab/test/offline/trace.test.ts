import { expect, test } from 'vitest'
import { drawTree, orphans, type Span } from '../../src/trace.ts'

const span = (id: string, parentId: string | undefined, startMicros: number): Span => ({
  id,
  parentId,
  service: id,
  operation: 'op',
  startMicros,
  durationMicros: 1500,
  tags: { order_id: 'o-1', upstream: 'x', response_flags: '-' },
})

test('a tree has children below their parents, in order of their start, and tells what helps to find them', () => {
  const tree = drawTree([
    span('late', 'root', 3),
    span('early', 'root', 2),
    span('root', 'caller', 1),
  ])
  expect(tree.split('\n')).toEqual([
    'root  op  1.5 ms  order_id=o-1',
    '  early  op  1.5 ms  order_id=o-1',
    '  late  op  1.5 ms  order_id=o-1',
  ])
})

test('an orphan is a span whose parent never came; a root is none', () => {
  const spans = [span('root', undefined, 1), span('child', 'root', 2), span('lost', 'gone', 3)]
  expect(orphans(spans).map(({ id }) => id)).toEqual(['lost'])
})
