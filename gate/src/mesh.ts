/** The pods of the mesh, and what each tells its proxy. */
import { ORDER_MANAGEMENT } from '@oms/e2e/authz-matrix'
import { parse } from 'yaml'
import type { ManifestSet } from './manifests.ts'
import { type Pods, podsOf } from './objects.ts'

/** Every pod has a sidecar. */
export const INJECTED: readonly string[] = [ORDER_MANAGEMENT, 'jaeger']

/** Every pod is a gateway. */
export const GATEWAYS: readonly string[] = ['istio-ingress', 'istio-egress']

/** With a proxy of the mesh. */
export function meshPods(set: ManifestSet): readonly Pods[] {
  return podsOf(set).filter(({ namespace }) => [...INJECTED, ...GATEWAYS].includes(namespace))
}

/** What a pod tells its proxy. */
export function proxyConfigOf({ annotations }: Pods): {
  readonly proxyMetadata?: Readonly<Record<string, string>>
} {
  return parse(annotations['proxy.istio.io/config'] ?? '{}')
}
