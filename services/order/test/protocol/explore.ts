/** The protocol's graph, searched. */
import { brokenBy, brokenIn, isGoodEnd, type Promised } from './invariants.ts'
import { CANCEL, CRASH, type Model, RESTORE, SENT_AGAIN, successors } from './model.ts'
import { type Found, search } from './search.ts'
import { accepted, keyOf, type State } from './state.ts'

export function explore(model: Model): Found<State, Promised> {
  return search<State, Promised>({
    start: accepted(model.bounds),
    keyOf,
    successors: (state) => successors(state, model),
    brokenIn,
    brokenBy,
    isGoodEnd,
    isHelp: (label) => [CANCEL, CRASH, RESTORE, SENT_AGAIN].includes(label),
    dead: 'every state can end well',
  })
}
