import { describe, expect, test } from 'vitest'
import { STATE_CODES } from '../../src/domain/order.ts'
import { TRANSITIONS, type Transition } from '../../src/domain/transitions.ts'
import { explore } from './explore.ts'
import { REAL_DRIVER } from './model.ts'
import { FURTHER_MUTANTS, MUTANTS, modelOf } from './mutants.ts'
import type { Bounds, State } from './state.ts'

/** Messages are delivered again for ever, any pass may vanish: nothing but the drivers is counted. */
const FOR_EVER: Bounds = { drivers: 2, copies: Infinity, crashes: Infinity }

describe('the protocol', () => {
  test('keeps every promise in every state that one order and two drivers can reach', ({
    annotate,
  }) => {
    const taken = new Set<Transition | undefined>()
    const startedMs = performance.now()
    const { states, steps, counterexample } = explore({
      bounds: FOR_EVER,
      faults: new Set(),
      driver: {
        ...REAL_DRIVER,
        transitionOf: (row, on) => {
          const transition = REAL_DRIVER.transitionOf(row, on)
          taken.add(transition)
          return transition
        },
      },
    })
    const tookMs = Math.round(performance.now() - startedMs)

    expect(counterexample).toBeUndefined()
    // Any change of the protocol, or of what the model lets happen, changes these numbers: say why, then pin them anew.
    expect([states.length, steps]).toEqual([5342, 44_912])
    // What was never reached was never checked.
    const reached = <Value>(value: (state: State) => Value) => new Set(states.map(value))
    expect(reached(({ order }) => order)).toEqual(new Set(Object.keys(STATE_CODES)))
    expect(reached(({ payment }) => payment).size).toBe(5)
    expect(reached(({ reservation }) => reservation).size).toBe(5)
    expect(reached(({ refunds }) => refunds[1])).toEqual(new Set(['none', 'processing', 'done']))
    expect(TRANSITIONS.filter((each) => !taken.has(each))).toEqual([])
    return annotate(`n = ${states.length} states, ${steps} steps, exhaustive, ${tookMs} ms`)
  })

  test('keeps them with counted copies and crashes as well', () => {
    const bounds = { drivers: 1, copies: 2, crashes: 2 }
    const { states, counterexample } = explore(modelOf(bounds, {}))
    expect(counterexample).toBeUndefined()
    expect(states.length).toBe(20_113)
  })

  test('gives back what a lost order holds, money and stock', () => {
    const { states, counterexample } = explore(
      modelOf({ ...FOR_EVER, restored: 'for_inventory' }, {}),
    )
    expect(counterexample).toBeUndefined()
    expect(states.some(({ lost, verdict }) => lost && verdict === 'refunded')).toBe(true)
    expect(states.length).toBe(18_309)
  })

  test('neither confirms nor charges again what a lost order gave back, when the client sends it again', () => {
    const { states, counterexample } = explore(modelOf({ ...FOR_EVER, restored: 'for_client' }, {}))
    expect(counterexample).toBeUndefined()
    expect(states.some(({ lost, order }) => lost && order === 'confirmed')).toBe(true)
    expect(states.length).toBe(15_737)
  })
})

describe('the search', () => {
  test.each(Object.entries({ ...MUTANTS, ...FURTHER_MUTANTS }))(
    'finds %s',
    (_name, { breaks, restored, ...mutant }) => {
      const bounds = restored === undefined ? FOR_EVER : { ...FOR_EVER, restored }
      const { counterexample } = explore(modelOf(bounds, mutant))
      expect(counterexample).toMatchObject({ broken: breaks })
      expect(counterexample?.trace.length).toBeGreaterThan(1)
    },
  )
})
