/** The trial of a mutant: green without it, red at a witness with it, green again. */
import type { Mutant } from '@oms/gate/mutants'
import type { Mesh } from '../cluster/mesh.ts'
import { lackOf, type Proof, type Shown, show, tellWitness } from '../proof.ts'
import type { MutantResult } from '../result.ts'
import { heal, infect, offer } from './infect.ts'

export interface Trial {
  /** @param find a proof by its name. */
  run(mutant: Mutant): Promise<MutantResult>
}

export interface Trials {
  readonly proofs: ReadonlyMap<string, Proof>
  /** Opens a scope of changes. */
  begin(name: string): Mesh
  /** Pods that were made before a change of what is injected do not show it. */
  forget(): Promise<void>
  /** What was told to the proxies is obeyed. */
  settled(): Promise<void>
}

/** What a pod takes up only when it is made. */
const INJECTED = /\/(defaultConfig|global\/proxy)\//

function isInjected({ patch = [] }: Mutant): boolean {
  return patch.some(({ path }) => INJECTED.test(path))
}

export function createTrial({ proofs, begin, forget, settled }: Trials): Trial {
  /** Green since the last change. */
  const green = new Set<string>()

  function proofsOf({ kills, id }: Mutant): readonly Proof[] {
    return kills.map((name) => {
      const found = proofs.get(name)
      if (found === undefined) throw new Error(`The mutant ${id} kills ${name}, which is no proof.`)
      return found
    })
  }

  /** What it says where it is not green. */
  async function notGreen(proof: Proof): Promise<string | undefined> {
    if (green.has(proof.name)) return undefined
    const said = complaintOf(await show(proof, []))
    if (said === undefined) green.add(proof.name)
    return said
  }

  async function live(mutant: Mutant): Promise<Pick<MutantResult, 'outcome' | 'reason'>> {
    const wanted = proofsOf(mutant)
    for (const proof of wanted) {
      const lack = await lackOf(proof)
      if (lack !== undefined) return { outcome: 'not run', reason: `${proof.name}: ${lack}` }
      const before = await notGreen(proof)
      if (before !== undefined)
        return { outcome: 'survived', reason: `${proof.name} is red without it: ${before}` }
    }
    const mesh = begin(`mutant ${mutant.id}`)
    const reds: string[] = []
    const survivals: string[] = []
    try {
      await infect(mesh, mutant)
      await settled()
      green.clear()
      if (isInjected(mutant)) await forget()
      for (const proof of wanted) {
        const shown = await show(proof, [], { untilRed: true })
        const failed = shown.witnesses.find(({ holds }) => !holds)
        if (failed !== undefined) reds.push(`${proof.name}: ${tellWitness(failed)}`)
        else
          survivals.push(
            `${proof.name} ${shown.broken === undefined ? 'stayed green' : `broke: ${(shown.broken as Error).message}`}`,
          )
      }
    } catch (error) {
      return { outcome: 'survived', reason: `it could not be tried: ${(error as Error).message}` }
    } finally {
      await heal(mesh)
      if (isInjected(mutant)) await forget()
    }
    for (const proof of wanted) {
      const after = await notGreen(proof)
      if (after !== undefined)
        return { outcome: 'survived', reason: `${proof.name} stayed red without it: ${after}` }
    }
    return survivals.length > 0
      ? { outcome: 'survived', reason: survivals.join('; ') }
      : { outcome: 'killed', reason: reds.join('; ') }
  }

  async function admission(mutant: Mutant): Promise<Pick<MutantResult, 'outcome' | 'reason'>> {
    const said = await offer(begin(`mutant ${mutant.id}`), mutant)
    return { outcome: mutant.says?.test(said) ? 'killed' : 'survived', reason: said }
  }

  async function run(mutant: Mutant): Promise<MutantResult> {
    const startedMs = performance.now()
    const { id, target, via, kills } = mutant
    const verdict = await (via === 'live' ? live(mutant) : admission(mutant))
    return {
      id,
      manifest: `k8s/${mutant.manifest}`,
      target,
      change: changeOf(mutant),
      via,
      kills,
      ...verdict,
      durationMs: performance.now() - startedMs,
    }
  }

  return { run }
}

function complaintOf({ witnesses, broken }: Shown): string | undefined {
  const failed = witnesses.filter(({ holds }) => !holds)
  if (failed.length > 0) return failed.map(tellWitness).join('; ')
  return broken === undefined ? undefined : (broken as Error).message
}

/** `/spec/http/0/retries/attempts = 2`. */
export function changeOf({ patch }: Pick<Mutant, 'patch'>): string {
  if (patch === undefined) return 'deleted'
  return patch
    .filter(({ op }) => op !== 'test')
    .map(({ op, path, value }) =>
      op === 'remove' ? `${path} removed` : `${path} = ${JSON.stringify(value)}`,
    )
    .join(', ')
}
