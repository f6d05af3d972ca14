/**
 * Explicit-state search, breadth first: the first broken promise comes with a shortest trace. Without one, every state
 * is asked whether a good end can still be reached from it.
 */

export interface Graph<S, P> {
  readonly start: S
  keyOf(state: S): string
  successors(state: S): Iterable<readonly [label: string, state: S]>
  brokenIn(state: S): P | undefined
  brokenBy(from: S, to: S): P | undefined
  isGoodEnd(state: S): boolean
  /** Steps that nobody may have to hope for. */
  isHelp(label: string): boolean
  readonly dead: P
}

export interface Counterexample<S, P> {
  readonly broken: P
  readonly trace: readonly string[]
  readonly state: S
}

export interface Found<S, P> {
  readonly states: readonly S[]
  readonly steps: number
  readonly counterexample?: Counterexample<S, P>
}

export function search<S, P>(graph: Graph<S, P>): Found<S, P> {
  const indexes = new Map<string, number>([[graph.keyOf(graph.start), 0]])
  const states = [graph.start]
  const parents = [-1]
  const labels = ['']
  const edges: Edges = { from: [], to: [] }
  let steps = 0

  function counterexample(broken: P, last: number, ...more: readonly string[]) {
    const trace: string[] = [...more]
    for (let at = last; at > 0; at = parents[at] as number) trace.unshift(labels[at] as string)
    return { broken, trace, state: states[last] as S }
  }

  const broken = graph.brokenIn(graph.start)
  if (broken !== undefined) return { states, steps, counterexample: counterexample(broken, 0) }
  // `states` grows while it is walked: it is the queue.
  for (let at = 0; at < states.length; at++) {
    const from = states[at] as S
    for (const [label, to] of graph.successors(from)) {
      steps++
      const key = graph.keyOf(to)
      let index = indexes.get(key)
      const brokenStep = graph.brokenBy(from, to)
      if (brokenStep !== undefined)
        return { states, steps, counterexample: counterexample(brokenStep, at, label) }
      if (index === undefined) {
        index = states.length
        indexes.set(key, index)
        states.push(to)
        parents.push(at)
        labels.push(label)
        const brokenState = graph.brokenIn(to)
        if (brokenState !== undefined)
          return { states, steps, counterexample: counterexample(brokenState, index) }
      }
      if (index !== at && !graph.isHelp(label)) {
        edges.from.push(at)
        edges.to.push(index)
      }
    }
  }
  const dead = firstWithout(states, edges, graph.isGoodEnd)
  return dead === undefined
    ? { states, steps }
    : { states, steps, counterexample: counterexample(graph.dead, dead) }
}

interface Edges {
  readonly from: number[]
  readonly to: number[]
}

/** The first state from which no good one can be reached, backwards from all good ones. */
function firstWithout<S>(
  states: readonly S[],
  { from, to }: Edges,
  isGood: (state: S) => boolean,
): number | undefined {
  // Predecessors of n: sources[offsets[n]] up to sources[offsets[n + 1]].
  const offsets = new Int32Array(states.length + 1)
  for (const target of to) offsets[target + 1] = (offsets[target + 1] as number) + 1
  for (let at = 0; at < states.length; at++)
    offsets[at + 1] = (offsets[at + 1] as number) + (offsets[at] as number)
  const sources = new Int32Array(from.length)
  const filled = offsets.slice()
  for (const [edge, target] of to.entries()) {
    const place = filled[target] as number
    sources[place] = from[edge] as number
    filled[target] = place + 1
  }
  const ends = states.flatMap((state, at) => (isGood(state) ? [at] : []))
  const reached = new Uint8Array(states.length)
  for (const at of ends) reached[at] = 1
  while (ends.length > 0) {
    const at = ends.pop() as number
    for (let edge = offsets[at] as number; edge < (offsets[at + 1] as number); edge++) {
      const source = sources[edge] as number
      if (reached[source] === 1) continue
      reached[source] = 1
      ends.push(source)
    }
  }
  const first = reached.indexOf(0)
  return first === -1 ? undefined : first
}
