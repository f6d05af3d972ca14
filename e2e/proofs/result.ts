/** What a run of the proofs and of their mutants finds: the JSON that stands beside the report. */

/** Who saw it. */
export type Source =
  | 'ledger'
  | 'envoy'
  | 'istiod'
  | 'kubernetes'
  | 'jaeger'
  | 'processor'
  | 'prometheus'

export interface Witness {
  readonly source: Source
  /** What was read, of whom, as `payment-service: tries of the order`. */
  readonly what: string
  readonly seen: unknown
  /** As a person reads it: `[1,2,3,4]`, `63 to 137 (99.99 %)`. */
  readonly expected: string
  readonly holds: boolean
}

export type Outcome = 'green' | 'red' | 'not run'

export interface ProofResult {
  /** As `retry.transient`; its first part is the group. */
  readonly name: string
  /** One sentence that is true when it is green. */
  readonly promise: string
  /** Paths from the project's folder. */
  readonly manifests: readonly string[]
  /** The fields that it proves, as `VirtualService payment-service-retry spec.http[0].retries`. */
  readonly fields: readonly string[]
  readonly outcome: Outcome
  /** Of `not run`: what the cluster lacks, or what stood in the way. Of `red`: the first line of the error, and where. */
  readonly reason?: string
  /** Of `red`: true where a witness did not say what was expected, false where the proof itself broke. */
  readonly atAssertion?: boolean
  readonly witnesses: readonly Witness[]
  readonly durationMs: number
}

export interface ProofRun {
  /** ISO 8601. */
  readonly startedAt: string
  readonly durationMs: number
  /** Name of the kube context, or `lab`. */
  readonly cluster: string
  /** Kubernetes, Istio, Envoy, the product, in this order. */
  readonly versions: Readonly<Record<string, string>>
  /** Capability → whether the cluster has it. */
  readonly capabilities: Readonly<Record<string, boolean>>
  readonly proofs: readonly ProofResult[]
}

export interface MutantResult {
  /** As in e2e/mutants. */
  readonly id: string
  readonly manifest: string
  /** As `VirtualService order-management/payment-service-retry`. */
  readonly target: string
  /** In words or as a pointer: `/spec/http/0/retries/attempts = 2`. */
  readonly change: string
  readonly via: 'live' | 'admission' | 'gate'
  /** Names of proofs; of the gate: its rule. */
  readonly kills: readonly string[]
  /** `not run`: the cluster lacks what a proof needs. Whatever else came in between, nobody saw it die: it survived. */
  readonly outcome: 'killed' | 'survived' | 'not run'
  readonly reason?: string
  readonly durationMs: number
}
