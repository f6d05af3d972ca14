/** G2: every object fits a schema that refuses fields it does not know. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '@oms/lab/folders'
import type { KubernetesObject } from '@oms/lab/kubectl'
import type { Tools } from '@oms/lab/tools'
import { parseAllDocuments } from 'yaml'
import { type ManifestFile, objectsIn } from '../files.ts'
import type { Tree } from '../manifests.ts'
import { idOf } from '../objects.ts'
import { type Checked, inTree, type Rule, type Wrong } from '../rule.ts'
import { OWN_SCHEMAS, type Schema } from '../schemas/own.ts'
import { kubernetesSchemas, schemasOfDefinitions } from '../schemas/published.ts'
import { createValidators, type Validator } from '../schemas/validate.ts'

const CLUSTER_SCOPED: readonly string[] = [
  'ClusterRole',
  'ClusterRoleBinding',
  'CustomResourceDefinition',
  'Istio',
  'IstioCNI',
  'Namespace',
  'PersistentVolume',
  'ValidatingWebhookConfiguration',
]

interface Placed {
  readonly where: string
  readonly document: KubernetesObject
}

/** Whatever says its kind, in any file. */
function documentsOf({ files }: Tree): readonly Placed[] {
  const isKind = (document: unknown): document is KubernetesObject =>
    typeof (document as KubernetesObject).kind === 'string' && 'apiVersion' in (document as object)
  return [...files].flatMap(([where, { documents }]: [string, ManifestFile]) =>
    documents.filter(isKind).map((document) => ({ where, document })),
  )
}

/** As overlays make them: a patch may write a field that is none. */
function renderedOf({ renders }: Tree): readonly Placed[] {
  return renders.flatMap(({ of, objects }) => objects.map((document) => ({ where: of, document })))
}

const kindOf = ({ apiVersion, kind }: KubernetesObject): string => `${apiVersion}/${kind}`

function isOurs({ document }: Placed): boolean {
  return ownValidators(kindOf(document)) !== undefined
}

function judge({ where, document }: Placed, validate: Validator): readonly Wrong[] {
  const id = document.metadata === undefined ? document.kind : idOf(document)
  return validate(document).map((what) => ({ where, what: `${id}: ${what}` }))
}

function definitionsIn(path: string): ReadonlyMap<string, Schema> {
  const documents = parseAllDocuments(readFileSync(path, 'utf8'))
  return schemasOfDefinitions(
    [...documents].map((document) => document.toJS()).filter((each) => each !== null),
  )
}

const ownValidators = createValidators(
  new Map([...OWN_SCHEMAS, ...definitionsIn(join(ROOT, 'lab/manifests/prometheusrules-crd.yaml'))]),
)

let published: ((kind: string) => Validator | undefined) | undefined

/** Read once: the documents are large. */
function publishedValidators(tools: Tools): (kind: string) => Validator | undefined {
  published ??= createValidators(
    definitionsIn(join(tools.dirOf('istio'), 'manifests/charts/base/files/crd-all.gen.yaml')),
    kubernetesSchemas(
      JSON.parse(readFileSync(join(tools.dirOf('kubernetes'), 'swagger.json'), 'utf8')),
    ),
  )
  return published
}

const TRAP =
  'A field that nobody knows is dropped in silence: the webhook’s answer is "created", and the limit, the port, the label is not there.'
const MEND = 'Write the field as the message lists it; the API’s reference has its meaning.'

export const schemaRules: readonly Rule[] = [
  inTree({
    gate: 'G2',
    name: 'Sail, Argo CD, Prometheus and kustomize get fields that they know',
    why: `${TRAP} Sail prunes what is no value of its charts.`,
    mend: `${MEND} A new field of theirs first goes into gate/src/schemas/own.ts.`,
    subjects: (tree) => [...documentsOf(tree), ...renderedOf(tree)].filter(isOurs),
    wrong: (placed) => judge(placed, ownValidators(kindOf(placed.document)) as Validator),
  }),
  {
    gate: 'G2',
    name: 'Istio and Kubernetes get fields that they know',
    why: TRAP,
    mend: MEND,
    async run(tree, tools): Promise<Checked> {
      const validators = publishedValidators(tools)
      const placed = [...documentsOf(tree), ...renderedOf(tree)].filter((each) => !isOurs(each))
      const wrong = placed.flatMap((each) => {
        const kind = kindOf(each.document)
        const validate = validators(kind)
        return validate === undefined
          ? [{ where: each.where, what: `${idOf(each.document)}: no schema knows ${kind}` }]
          : judge(each, validate)
      })
      return { subjects: placed.length, wrong }
    },
  },
  inTree({
    gate: 'G2',
    name: 'what belongs to the cluster has no namespace, everything else names its own',
    why: 'Without a namespace an object lands where kubectl happens to point; on a cluster-wide kind the namespace is ignored, and a selector by it finds nothing.',
    mend: 'metadata.namespace, or none for Namespace, Istio, IstioCNI, ClusterRole, PersistentVolume.',
    subjects: ({ files }) =>
      [...files].flatMap(([where, file]) =>
        objectsIn(file).map((document) => ({ where, document })),
      ),
    wrong({ where, document }) {
      const named = document.metadata.namespace !== undefined
      if (named !== CLUSTER_SCOPED.includes(document.kind)) return []
      return [
        {
          where,
          what: `${idOf(document)}: metadata.namespace is ${named ? document.metadata.namespace : 'missing'}`,
        },
      ]
    },
  }),
]
