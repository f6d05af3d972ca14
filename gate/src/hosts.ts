/** Names that a route or a rule may lead to. */
import type { ManifestSet } from './manifests.ts'
import { ofKind } from './objects.ts'

/** Host → ports, of every Service and ServiceEntry. */
export function hostsOf(set: ManifestSet): ReadonlyMap<string, readonly number[]> {
  const services = ofKind(set, 'Service').map(
    ({ metadata, spec }) =>
      [
        `${metadata.name}.${metadata.namespace}.svc.cluster.local`,
        spec.ports.map(({ port }: { port: number }) => port),
      ] as const,
  )
  const entries = ofKind(set, 'ServiceEntry').flatMap(({ spec }) =>
    spec.hosts.map(
      (host: string) => [host, spec.ports.map(({ number }: { number: number }) => number)] as const,
    ),
  )
  return new Map([...services, ...entries])
}
