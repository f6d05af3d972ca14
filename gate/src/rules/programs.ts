/** G7: what a program is told is there: the hosts that it calls, the Secrets that it reads. */
import type { KubernetesObject } from '@oms/lab/kubectl'
import { hostsOf } from '../hosts.ts'
import type { ManifestSet } from '../manifests.ts'
import { fieldsNamed, idOf, ofKind, type Pods, podsOf, secretsOf, variablesOf } from '../objects.ts'
import { inSets, type Rule } from '../rule.ts'

interface Told {
  readonly id: string
  readonly namespace: string
  readonly variable: string
  readonly host: string
  /** None: the scheme's own. */
  readonly port: number | undefined
}

const URL_VALUE = /^\w+:\/\/(?:[^@/]*@)?([\w.-]+)(?::(\d+))?(?:\/|$)/

/** Every variable that is a URL. */
function urlsOf(pods: Pods): readonly Told[] {
  const { id, namespace } = pods
  return variablesOf(pods).flatMap(({ name, value = '' }) => {
    const [, host, port] = URL_VALUE.exec(value) ?? []
    if (host === undefined) return []
    return [
      { id, namespace, variable: name, host, port: port === undefined ? undefined : Number(port) },
    ]
  })
}

/** A name without dots is one of the pod's own namespace. */
function fullName({ host, namespace }: Told): string {
  return host.includes('.') ? host : `${host}.${namespace}.svc.cluster.local`
}

interface Reading {
  readonly id: string
  readonly secret: string
}

function readingsOf(set: ManifestSet): readonly Reading[] {
  const byProxies = ofKind(set, 'Gateway', 'DestinationRule').flatMap((object: KubernetesObject) =>
    fieldsNamed('credentialName', object['spec']).map(({ value }) => ({
      id: idOf(object),
      secret: value as string,
    })),
  )
  const byPods = podsOf(set).flatMap((pods) =>
    secretsOf(pods).map((secret) => ({ id: pods.id, secret })),
  )
  return [...byPods, ...byProxies]
}

export const programRules: readonly Rule[] = [
  inSets({
    gate: 'G7',
    name: 'every URL that a program is told leads to a Service',
    why: 'With REGISTRY_ONLY a host that no Service or ServiceEntry has is answered 502 by the pod’s own proxy.',
    mend: 'The name of a Service, in another namespace the full one, and one of its ports.',
    subjects: (set) => podsOf(set).flatMap(urlsOf),
    wrong(told, set) {
      const ports = hostsOf(set).get(fullName(told))
      const { id, variable, host, port } = told
      if (ports === undefined) return [`${id}: env ${variable} leads to ${host}: no Service`]
      return port === undefined || ports.includes(port)
        ? []
        : [`${id}: env ${variable} leads to ${host}:${port}: it has ${ports.join()}`]
    },
  }),
  inSets({
    gate: 'G7',
    name: 'every Secret that somebody reads is in the table of k8s/README.md',
    why: 'No manifest brings a Secret: a pod waits for one that nobody made ("MountVolume.SetUp failed"), a gateway answers with resets.',
    mend: 'A row with its name, namespace, keys and reader, or the name of one that is there.',
    subjects: readingsOf,
    wrong: ({ id, secret }, _set, { files }) =>
      files.get('README.md')?.text.includes(`| \`${secret}\``) === true
        ? []
        : [`${id}: it reads the Secret ${secret}, which is not in the table`],
  }),
]
