/** G1: kustomize builds every overlay and every component, and builds them of what is really there. */
import { posix } from 'node:path'
import { LAYERS } from '@oms/lab/components'
import type { KubernetesObject } from '@oms/lab/kubectl'
import { parse } from 'yaml'
import { type Files, objectsIn } from '../files.ts'
import { type Kustomization, kustomizationsOf, type Patch, type Tree } from '../manifests.ts'
import { idOf } from '../objects.ts'
import { COMPONENT_LAYERS, overlaysIn } from '../render.ts'
import { inSets, inTree, type Rule } from '../rule.ts'

/** Applied by other means than a kustomization, or read by a program. */
const LISTED_NOWHERE =
  /(^|\/)(kustomization|application)\.yaml$|^istio-config\/multi-tenant-isolation\.yaml$|\.test\.yaml$/

/** What changes no resource that is listed, but for a label of its own. */
const PLAIN: readonly string[] = ['apiVersion', 'kind', 'resources', 'configMapGenerator', 'labels']

interface Placed {
  readonly folder: string
  readonly kustomization: Kustomization
}

function placed({ files }: Tree): readonly Placed[] {
  return [...kustomizationsOf(files)].map(([folder, kustomization]) => ({ folder, kustomization }))
}

/** What a kustomization reads, below k8s/. */
function filesOf({ folder, kustomization }: Placed): readonly string[] {
  const { resources = [], patches = [], configMapGenerator = [] } = kustomization
  const generated = configMapGenerator.flatMap(({ files = [] }) =>
    files.map((each) => each.split('=').at(-1) as string),
  )
  const patched = patches.flatMap(({ path }) => (path === undefined ? [] : [path]))
  return [...resources, ...patched, ...generated].map((path) => posix.join(folder, path))
}

function foldersOf({ folder, kustomization: { components = [] } }: Placed): readonly string[] {
  return components.map((path) => posix.join(folder, path))
}

function isThere(files: Files, path: string): boolean {
  return files.has(path) || files.has(posix.join(path, 'kustomization.yaml'))
}

interface Operation {
  readonly op: string
  readonly path: string
}

interface Step {
  readonly folder: string
  readonly target: NonNullable<Patch['target']>
  readonly operation: Operation
  /** Before it, in the same patch. */
  readonly before: readonly Operation[]
}

/** Every operation of every JSON patch (RFC 6902). */
function stepsOf(tree: Tree): readonly Step[] {
  return placed(tree).flatMap(({ folder, kustomization: { patches = [] } }) =>
    patches.flatMap(({ target, path, patch }) => {
      const content =
        path === undefined
          ? parse(patch ?? '')
          : tree.files.get(posix.join(folder, path))?.documents[0]
      if (target === undefined || !Array.isArray(content)) return []
      return (content as readonly Operation[]).map((operation, index) => ({
        folder,
        target,
        operation,
        before: content.slice(0, index),
      }))
    }),
  )
}

/** As kustomize takes a target: whole names, as regular expressions. */
function targetsOf({ files }: Tree, { kind, name }: Step['target']): readonly KubernetesObject[] {
  const is = (pattern: string | undefined, text: string): boolean =>
    pattern === undefined || new RegExp(`^(?:${pattern})$`).test(text)
  return [...files.values()]
    .flatMap(objectsIn)
    .filter((object) => is(kind, object.kind) && is(name, object.metadata.name))
}

/** Elements that `path` goes into by their number, as `/spec/http/1` of `/spec/http/1/name`. */
function elementsOn(path: string): readonly string[] {
  const steps = path.split('/')
  return steps.flatMap((step, index) =>
    /^\d+$/.test(step) ? [steps.slice(0, index + 1).join('/')] : [],
  )
}

function lengthAt(object: KubernetesObject, pointer: string): number {
  const list = pointer
    .split('/')
    .slice(1)
    .reduce<unknown>(
      (value, step) => (value as Record<string, unknown> | undefined)?.[step],
      object,
    )
  return Array.isArray(list) ? list.length : 0
}

export const kustomizeRules: readonly Rule[] = [
  inTree({
    gate: 'G1',
    name: 'every file is YAML',
    why: 'A key that stands twice, a tab, a wrong indent: kustomize says so only of what it happens to read.',
    mend: 'Mend what the parser says.',
    subjects: ({ files }) => [...files],
    wrong: ([where, { errors }]) => errors.map((what) => ({ where, what })),
  }),
  inTree({
    gate: 'G1',
    name: 'every path of a kustomization is there, below its own folder',
    why: 'kustomize reads no file outside of the folder it builds; a component that needs one builds nowhere.',
    mend: 'Mend the path; what two folders share is a folder with a kustomization of its own.',
    subjects: placed,
    wrong: (each, { files }) => [
      ...[...filesOf(each), ...foldersOf(each)]
        .filter((path) => !isThere(files, path))
        .map((path) => ({
          where: `${each.folder}/kustomization.yaml`,
          what: `${path} is not there`,
        })),
      ...filesOf(each)
        .filter((path) => files.has(path) && !path.startsWith(`${each.folder}/`))
        .map((path) => ({
          where: `${each.folder}/kustomization.yaml`,
          what: `${path} is outside of ${each.folder}`,
        })),
    ],
  }),
  inTree({
    gate: 'G1',
    name: 'the base needs no kustomize to be read',
    why: 'What the resources say is then what is deployed, for a reader, for kubectl and for most rules of this gate.',
    mend: 'Write it into the resource itself; patches are for overlays and components.',
    subjects: (tree) =>
      placed(tree).filter(({ folder }) => !/^(components|overlays)\//.test(folder)),
    wrong: ({ folder, kustomization }) =>
      Object.keys(kustomization)
        .filter((field) => !PLAIN.includes(field))
        .map((field) => ({ where: `${folder}/kustomization.yaml`, what: `${field} is there` })),
  }),
  inTree({
    gate: 'G1',
    name: 'every file is in a kustomization',
    why: 'A resource that no kustomization lists is never applied, and nobody notices.',
    mend: 'List it under resources, or delete it.',
    subjects: ({ files }) =>
      [...files.keys()].filter((path) => path.endsWith('.yaml') && !LISTED_NOWHERE.test(path)),
    wrong: (path, tree) =>
      placed(tree).some((each) => filesOf(each).includes(path))
        ? []
        : [{ where: path, what: 'no kustomization has it' }],
  }),
  inTree({
    gate: 'G1',
    name: 'a patch by number first tests what stands there',
    why: 'A new element before it moves the number: the patch then changes another one, and builds.',
    mend: '{op: test, path: /spec/…/N/name, value: …} before it.',
    subjects: stepsOf,
    wrong({ folder, target, operation: { op, path }, before }, tree) {
      if (op === 'test') return []
      return elementsOn(path)
        .filter((element) =>
          targetsOf(tree, target).some((object) => lengthAt(object, posix.dirname(element)) > 1),
        )
        .filter(
          (element) =>
            !before.some((each) => each.op === 'test' && `${each.path}/`.startsWith(`${element}/`)),
        )
        .map((element) => ({
          where: `${folder}/kustomization.yaml`,
          what: `the patch of ${target.kind} ${target.name ?? ''}: ${op} ${path}, without a test of ${element}`,
        }))
    },
  }),
  inTree({
    gate: 'G1',
    name: 'every patch has a target',
    why: 'kustomize drops a patch that matches nothing, without a word.',
    mend: 'Mend kind and name.',
    subjects: (tree) =>
      placed(tree).flatMap(({ folder, kustomization: { patches = [] } }) =>
        patches.flatMap(({ target }) => (target?.kind === undefined ? [] : [{ folder, target }])),
      ),
    wrong: ({ folder, target }, tree) =>
      targetsOf(tree, target).length > 0
        ? []
        : [
            {
              where: `${folder}/kustomization.yaml`,
              what: `the patch of ${target.kind} ${target.name ?? ''} has no target`,
            },
          ],
  }),
  inTree({
    gate: 'G1',
    name: 'every component is built by the gate',
    why: 'One that no build knows is broken by the next change of its base, and whoever turns it on finds out.',
    mend: 'Its layers in COMPONENT_LAYERS of gate/src/render.ts.',
    subjects: (tree) =>
      placed(tree).filter(({ kustomization }) => kustomization.kind === 'Component'),
    wrong: ({ folder }) =>
      COMPONENT_LAYERS.has(folder) ? [] : [{ where: folder, what: 'no build has it' }],
  }),
  inTree({
    gate: 'G1',
    name: 'every overlay has all layers',
    why: 'An overlay is deployed layer by layer: what is missing is missing in the cluster.',
    mend: `A folder for each of ${LAYERS.join(', ')}.`,
    subjects: ({ files }) => overlaysIn(files),
    wrong: (overlay, { files }) =>
      LAYERS.filter((layer) => !files.has(`overlays/${overlay}/${layer}/kustomization.yaml`)).map(
        (layer) => ({
          where: `overlays/${overlay}`,
          what: `${layer} is not there`,
        }),
      ),
  }),
  inSets({
    gate: 'G1',
    name: 'no two layers bring the same object',
    why: 'The one applied last wins, and Argo CD never comes to rest.',
    mend: 'Leave it in one.',
    subjects: ({ objects }) => objects,
    wrong: (object, { objects }) =>
      objects.some(
        (other) =>
          other !== object &&
          idOf(other) === idOf(object) &&
          other.apiVersion === object.apiVersion,
      )
        ? [`${idOf(object)} is there twice`]
        : [],
  }),
  {
    gate: 'G1',
    name: 'kustomize builds every overlay, every component and every pair of them',
    why: 'A component is turned on when there is no time to mend it.',
    mend: 'kustomize build FOLDER says the same.',
    async run({ renders }) {
      const wrong = renders.flatMap(({ of, error }) =>
        error === undefined ? [] : [{ where: of, what: error }],
      )
      return { subjects: renders.length, wrong }
    },
  },
]
