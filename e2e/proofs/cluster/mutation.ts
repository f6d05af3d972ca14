/** The mutant that is under trial, for proofs that bring manifests of their own onto the cluster. */

import type { Mutant } from '@oms/gate/mutants'
import { idOf } from '@oms/gate/objects'
import { patched } from '@oms/gate/pointers'
import type { KubernetesObject } from './api.ts'

let current: Mutant | undefined

/** None: every manifest is as it stands. */
export function tryMutant(mutant: Mutant | undefined): void {
  current = mutant
}

/** Objects of k8s/ as the mutant has them. */
export function underTrial(objects: readonly KubernetesObject[]): readonly KubernetesObject[] {
  return objects.flatMap((object) => {
    if (current === undefined || idOf(object) !== current.target) return [object]
    return current.patch === undefined ? [] : [patched(object, current.patch)]
  })
}
