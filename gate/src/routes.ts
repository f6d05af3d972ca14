/** Routes of HTTP, each with the words by which a finding names it. */
import type { KubernetesObject } from '@oms/lab/kubectl'
import type { ManifestSet } from './manifests.ts'
import { idOf, ofKind } from './objects.ts'

export interface Destination {
  readonly host: string
  readonly subset?: string
  readonly port?: { readonly number: number }
}

/** An HTTPRoute of a VirtualService, as far as the rules look at it. */
export interface Route {
  readonly timeout?: string
  readonly fault?: object
  readonly retries?: {
    readonly attempts?: number
    readonly perTryTimeout?: string
    readonly retryOn?: string
  }
  readonly match?: readonly {
    readonly uri?: { readonly exact?: string; readonly prefix?: string }
    readonly method?: { readonly exact?: string }
    readonly headers?: Readonly<Record<string, unknown>>
  }[]
  readonly headers?: { readonly request?: { readonly remove?: readonly string[] } }
  readonly route?: readonly { readonly weight?: number; readonly destination: Destination }[]
}

export interface PlacedRoute {
  readonly id: string
  readonly service: KubernetesObject
  readonly route: Route
}

export function routesOf(set: ManifestSet): readonly PlacedRoute[] {
  return ofKind(set, 'VirtualService').flatMap((service) =>
    ((service['spec'].http ?? []) as readonly Route[]).map((route, index) => ({
      id: `${idOf(service)}: spec.http[${index}]`,
      service,
      route,
    })),
  )
}
