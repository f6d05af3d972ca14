/** What one run is: the load, the fault, what must be seen, and what would be seen without a protection. */
import type { Mesh } from '@oms/proofs/cluster/mesh'
import type { Load } from './plan.ts'
import type { Profile } from './profiles.ts'
import type { Finding, Run } from './run.ts'
import type { Target } from './target.ts'

/** On a cluster; what it changes is taken back by the journal of changes. */
export type Action = (mesh: Mesh) => Promise<void>

/** Of what a proxy counts while the fault is there, or in the whole run where there is none. */
export interface Band {
  readonly min?: number
  readonly max?: number
}

/** As `payment.tries_per_request`: caller's proxies → callee. */
export type Signal = `${'order' | 'payment' | 'inventory'}.${
  | 'tries_per_request'
  | 'retries'
  | 'retries_refused'
  | 'ejections'
  | 'overflows'}`

export interface Fault {
  /** As a sentence's end: `the first try of every charge is answered 503`. */
  readonly what: string
  /** Resolves once it is there. */
  readonly begin: Action
  /** Resolves once it is gone. Default: `begin` is over when it resolves. */
  readonly end?: Action
}

/** What a run does without one of its protections. */
export interface Protection {
  readonly what: string
  /** On the cluster, before the load begins. */
  readonly remove?: Action
  /** Takes back what of it the journal of changes does not know. */
  readonly restore?: Action
  /** In the client. */
  readonly client?: 'new-key' | 'asks-once'
  /** In place of the scenario's own. */
  readonly fault?: Fault
  /** The scenario's preparation is the protection. */
  readonly skipsPrepare?: boolean
  /** What must be red without it: names of findings. */
  readonly breaks: readonly string[]
}

export interface Scenario {
  readonly name: string
  /** For the list. */
  readonly line: string
  /** `api`: any target; `cluster`: the mesh, or a change of the Deployments. */
  readonly needs: 'api' | 'cluster'
  /** Default: `average`. */
  readonly profile?: Profile
  readonly loads: (profile: Profile) => Readonly<Record<string, Load>>
  readonly prepare?: Action
  /** As `prepare`, by the API's operations. */
  readonly prepareTarget?: (target: Target) => Promise<void>
  readonly fault?: Fault
  /** Takes back what the journal of changes does not know. */
  readonly restore?: Action
  /** Conditions of k6. */
  readonly thresholds: Readonly<Record<string, readonly string[]>>
  readonly signals: Readonly<Partial<Record<Signal, Band>>>
  /** More to judge by. */
  readonly judge?: (run: Run) => readonly Finding[]
  readonly protections: Readonly<Record<string, Protection>>
  /** For docs/faults.md. */
  readonly see: {
    readonly jaeger: string
    readonly prometheus: string
    readonly logs: string
    readonly why: string
  }
}
