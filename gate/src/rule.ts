/** What a rule of the gate is: a sentence that holds, why it must, how to mend what breaks it, and who is asked. */
import type { Tools } from '@oms/lab/tools'
import { BASE, type ManifestSet, type Tree } from './manifests.ts'

export const GATES = {
  G1: 'kustomize',
  G2: 'schemas',
  G3: 'istioctl',
  G4: 'services and network',
  G5: 'authorization',
  G6: 'literals',
  G7: 'references',
  G8: 'arithmetic',
  G9: 'what sidecars know',
  G10: 'alerts',
  G11: 'pod security',
  G12: 'Argo CD',
  G13: 'production',
  G14: 'mutation',
} as const
export type Gate = keyof typeof GATES

interface Told {
  readonly gate: Gate
  /** A sentence that is true when nothing is found. */
  readonly name: string
  /** The trap: what goes wrong, and why nobody notices. */
  readonly why: string
  readonly mend: string
}

export interface Wrong {
  /** Name of a set, or a path below k8s/ or from the project’s folder. */
  readonly where: string
  /** The resource, the path of the field, its value. */
  readonly what: string
}

export interface Checked {
  /** How many were asked. */
  readonly subjects: number
  readonly wrong: readonly Wrong[]
}

/** Needs nothing but the files. */
export interface PlainRule extends Told {
  readonly check: (tree: Tree) => Checked
}

/** Asks programs of the lab's tool cache. */
export interface ToolRule extends Told {
  readonly run: (tree: Tree, tools: Tools) => Promise<Checked>
}

export type Rule = PlainRule | ToolRule

interface SetRule<Subject> extends Told {
  /** Default: every one. */
  readonly sets?: (name: string) => boolean
  readonly subjects: (set: ManifestSet, tree: Tree) => readonly Subject[]
  readonly wrong: (subject: Subject, set: ManifestSet, tree: Tree) => readonly string[]
}

/** A rule about what is deployed together, asked of each set by itself. */
export function inSets<Subject>({
  sets = () => true,
  subjects,
  wrong,
  ...told
}: SetRule<Subject>): PlainRule {
  function check(tree: Tree): Checked {
    const asked = tree.sets
      .filter(({ name }) => sets(name))
      .flatMap((set) =>
        subjects(set, tree).map((subject) =>
          wrong(subject, set, tree).map((what) => ({ where: set.name, what })),
        ),
      )
    return { subjects: asked.length, wrong: asked.flat() }
  }
  return { ...told, check }
}

interface TreeRule<Subject> extends Told {
  readonly subjects: (tree: Tree) => readonly Subject[]
  readonly wrong: (subject: Subject, tree: Tree) => readonly Wrong[]
}

/** A rule about the files, asked once. */
export function inTree<Subject>({ subjects, wrong, ...told }: TreeRule<Subject>): PlainRule {
  function check(tree: Tree): Checked {
    const asked = subjects(tree).map((subject) => wrong(subject, tree))
    return { subjects: asked.length, wrong: asked.flat() }
  }
  return { ...told, check }
}

/** The base and the production overlay: what must hold there need not hold on one small machine. */
export function isProduction(name: string): boolean {
  return name === BASE || name === 'overlays/production'
}
