/** What shows that something notices when a leaf changes: e2e/mutants, the names of the proofs, the document of the mesh. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Files, parseFile } from './files.ts'
import { MUTANTS, type Mutant, mutantsIn } from './mutants.ts'
import { GATES, type Gate, type Wrong } from './rule.ts'
import type { Schema } from './schemas/own.ts'
import { createValidators } from './schemas/validate.ts'

export interface Evidence {
  readonly mutants: readonly Mutant[]
  /** Id of a leaf → the gates that refuse a mutation of it. */
  readonly killedByGate: ReadonlyMap<string, readonly Gate[]>
  /** Id of a leaf → why nothing here can show it. */
  readonly unproven: ReadonlyMap<string, string>
  /** Proof → why no field is its own. */
  readonly witnessesOnly: ReadonlyMap<string, string>
  readonly proofs: ReadonlySet<string>
  /** Proofs that docs/mesh.md names. */
  readonly documented: ReadonlySet<string>
  /** What cannot be read as it stands. */
  readonly wrong: readonly Wrong[]
}

export const KILLED_BY_GATE = `${MUTANTS}/gate.yaml`
export const UNPROVEN = `${MUTANTS}/unproven.yaml`
export const WITNESSES_ONLY = `${MUTANTS}/witnesses-only.yaml`
export const DOCUMENT = 'docs/mesh.md'

/** @returns by the path from the project's folder. */
export function readEvidence(root: string): Files {
  const paths = [
    ...namesIn(root, MUTANTS, '.yaml'),
    ...namesIn(root, 'e2e/proofs', '.test.ts'),
    DOCUMENT,
  ]
  return new Map(
    paths.map((path) => [path, parseFile(path, readFileSync(join(root, path), 'utf8'))]),
  )
}

function namesIn(root: string, folder: string, end: string): readonly string[] {
  if (!existsSync(join(root, folder))) return []
  const names = readdirSync(join(root, folder)).filter((name) => name.endsWith(end))
  return names.sort().map((name) => `${folder}/${name}`)
}

/** @param files k8s/, of which the mutants are. */
export function evidenceOf(files: Files, evidence: Files): Evidence {
  const lists = new Set([KILLED_BY_GATE, UNPROVEN, WITNESSES_ONLY])
  const { mutants, wrong } = mutantsIn(
    files,
    new Map([...evidence].filter(([path]) => path.startsWith(MUTANTS) && !lists.has(path))),
  )
  const killed = listIn<Readonly<Record<string, readonly Gate[]>>>(evidence, KILLED_BY_GATE)
  const unproven = listIn<Readonly<Record<string, string>>>(evidence, UNPROVEN)
  const witnesses = listIn<string>(evidence, WITNESSES_ONLY)
  return {
    mutants,
    killedByGate: byLeaf(killed.list),
    unproven: byLeaf(unproven.list),
    witnessesOnly: new Map(Object.entries(witnesses.list)),
    proofs: proofsIn(evidence),
    documented: documentedIn(evidence.get(DOCUMENT)?.text ?? ''),
    wrong: [...wrong, ...killed.wrong, ...unproven.wrong, ...witnesses.wrong],
  }
}

const REASON: Schema = { type: 'string', minLength: 20 }

function mapOf(values: Schema): Schema {
  return { type: 'object', additionalProperties: values }
}

const GATE_NAMES: Schema = { type: 'array', minItems: 1, items: { enum: Object.keys(GATES) } }

const validators = createValidators(
  new Map([
    [KILLED_BY_GATE, mapOf(mapOf(GATE_NAMES))],
    [UNPROVEN, mapOf(mapOf(REASON))],
    [WITNESSES_ONLY, mapOf(REASON)],
  ]),
)

interface Listed<Value> {
  readonly list: Readonly<Record<string, Value>>
  readonly wrong: readonly Wrong[]
}

/** A list that is not there is empty. */
function listIn<Value>(evidence: Files, path: string): Listed<Value> {
  const { documents = [], errors = [] } = evidence.get(path) ?? {}
  const list = documents[0] ?? {}
  const wrong = [...errors, ...(validators(path)?.(list) ?? [])].map((what) => ({
    where: path,
    what: `${path}: ${what.trim()}`,
  }))
  return { list: wrong.length > 0 ? {} : (list as Listed<Value>['list']), wrong }
}

function byLeaf<Value>(
  list: Readonly<Record<string, Readonly<Record<string, Value>>>>,
): ReadonlyMap<string, Value> {
  return new Map(
    Object.entries(list).flatMap(([target, pointers]) =>
      Object.entries(pointers).map(([pointer, value]) => [`${target} ${pointer}`, value] as const),
    ),
  )
}

/** Every call `proof('group.name', …)`. */
function proofsIn(evidence: Files): ReadonlySet<string> {
  const texts = [...evidence].flatMap(([path, { text }]) =>
    path.endsWith('.test.ts') ? [text] : [],
  )
  return new Set(
    texts.flatMap((text) =>
      [...text.matchAll(/\bproof\(\s*['"`]([^'"`]+)['"`]/g)].map(([, name]) => name as string),
    ),
  )
}

/** Between `<!-- proofs -->` and `<!-- /proofs -->` every `group.name`. */
function documentedIn(text: string): ReadonlySet<string> {
  const [, section = ''] = /<!-- proofs -->(.*?)<!-- \/proofs -->/s.exec(text) ?? []
  return new Set(
    [...section.matchAll(/`((?:[a-z0-9-]+\.)+(?!yaml`)[a-z0-9-]+)`/g)].map(
      ([, name]) => name as string,
    ),
  )
}
