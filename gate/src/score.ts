/** Who notices when a leaf of the mesh changes, and whether somebody does for each. */
import type { Evidence } from './evidence.ts'
import type { Leaf } from './leaves.ts'
import type { Mutant } from './mutants.ts'
import type { Gate } from './rule.ts'

export interface Killers {
  readonly leaf: Leaf
  /** Ids of mutants. */
  readonly live: readonly string[]
  /** Ids of mutants. */
  readonly admission: readonly string[]
  readonly gate: readonly Gate[]
  /** Why nothing here can show it. */
  readonly unproven?: string
}

export interface Score {
  readonly killers: readonly Killers[]
  /** A leaf counts with each way that kills it; `survivors` have none and are not `unproven` either. */
  readonly totals: Readonly<
    Record<'leaves' | 'live' | 'admission' | 'gate' | 'killed' | 'unproven' | 'survivors', number>
  >
}

/** @param mutants all, or those that were killed in a run. */
export function scoreOf(
  leaves: readonly Leaf[],
  mutants: readonly Mutant[],
  { killedByGate, unproven }: Pick<Evidence, 'killedByGate' | 'unproven'>,
): Score {
  const kills = mutants.flatMap((mutant) =>
    leavesKilledBy(mutant, leaves).map(({ id }) => ({ id, mutant })),
  )
  const byLeaf = Map.groupBy(kills, ({ id }) => id)
  const killers = leaves.map((leaf) => {
    const reason = unproven.get(leaf.id)
    const via = (way: Mutant['via']): readonly string[] =>
      (byLeaf.get(leaf.id) ?? []).flatMap(({ mutant }) => (mutant.via === way ? [mutant.id] : []))
    return {
      leaf,
      live: via('live'),
      admission: via('admission'),
      gate: killedByGate.get(leaf.id) ?? [],
      ...(reason === undefined ? {} : { unproven: reason }),
    }
  })
  const count = (has: (each: Killers) => boolean): number => killers.filter(has).length
  return {
    killers,
    totals: {
      leaves: leaves.length,
      live: count(({ live }) => live.length > 0),
      admission: count(({ admission }) => admission.length > 0),
      gate: count(({ gate }) => gate.length > 0),
      killed: count(isKilled),
      unproven: count((each) => !isKilled(each) && each.unproven !== undefined),
      survivors: count(isSurvivor),
    },
  }
}

/**
 * A proof that goes red without a whole block shows nothing about each field of it: a mutant counts for a leaf that it
 * touches itself, or that is the only one under what it touches.
 */
export function leavesKilledBy(
  { target, touches }: Pick<Mutant, 'target' | 'touches'>,
  leaves: readonly Leaf[],
): readonly Leaf[] {
  return touches.flatMap((pointer) => {
    const under = leaves.filter(
      (leaf) =>
        leaf.target === target &&
        (leaf.pointer === pointer || leaf.pointer.startsWith(`${pointer}/`)),
    )
    return under.length === 1 ? under : []
  })
}

export function isKilled({ live, admission, gate }: Killers): boolean {
  return live.length + admission.length + gate.length > 0
}

export function isSurvivor(each: Killers): boolean {
  return !isKilled(each) && each.unproven === undefined
}
