/**
 * The one error currency: problem details (RFC 9457), declared once, thrown by the domain, serialised by the
 * chassis, decoded into the same class by the client of the next service.
 */

/** Where the documentation of a problem stands: `type` is this and the slug. */
export const PROBLEM_TYPE_BASE = 'https://oms.example/problems/'

/** What became of *this try*: refused before execution, not known, or a stored verdict. */
export type Outcome = 'not_executed' | 'unknown' | 'final'

export interface ProblemDefinition {
  /** Last segment of `type`; public, never renamed. */
  readonly slug: string
  readonly title: string
  /** HTTP status. */
  readonly status: number
  /** Whether the same request may be sent again. */
  readonly retryable: boolean
  readonly outcome: Outcome
  /** Response headers that belong to the problem, `retry-after` for example. */
  readonly headers?: Readonly<Record<string, string>>
}

/** Members beside RFC 9457's own, snake_case, as they go over the wire. */
export type ProblemMembers = Readonly<Record<string, unknown>>

export class Problem extends Error {
  readonly definition: ProblemDefinition
  readonly members: ProblemMembers
  /** Resource path; the chassis puts the request's path where it is absent. */
  readonly instance: string | undefined

  constructor(
    definition: ProblemDefinition,
    detail: string,
    members: ProblemMembers = {},
    options: { readonly instance?: string; readonly cause?: unknown } = {},
  ) {
    super(detail, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = definition.slug
    this.definition = definition
    this.members = members
    this.instance = options.instance
  }
}

export interface ProblemClass {
  readonly definition: ProblemDefinition
  new (
    detail: string,
    members?: ProblemMembers,
    options?: { readonly instance?: string; readonly cause?: unknown },
  ): Problem
}

/**
 * Declares a problem. Without more it is one of bad input: not retryable, not executed.
 * `detail`, given when thrown, says what happened, to what, and what to do.
 */
export function defineProblem(
  declared: Pick<ProblemDefinition, 'slug' | 'title' | 'status'> & Partial<ProblemDefinition>,
): ProblemClass {
  const definition: ProblemDefinition = {
    retryable: false,
    outcome: 'not_executed',
    ...declared,
  }
  return class extends Problem {
    static readonly definition = definition

    constructor(
      detail: string,
      members: ProblemMembers = {},
      options: { readonly instance?: string; readonly cause?: unknown } = {},
    ) {
      super(definition, detail, members, options)
    }
  }
}

/** The body of `application/problem+json`: a pure function of the problem and the path it is about. */
export function problemBody(problem: Problem, path: string): Record<string, unknown> {
  const { slug, title, status, retryable, outcome } = problem.definition
  return {
    type: PROBLEM_TYPE_BASE + slug,
    title,
    status,
    detail: problem.message,
    instance: problem.instance ?? path,
    retryable,
    outcome,
    ...problem.members,
  }
}

/** Members that `problemBody` writes itself. */
const OWN_MEMBERS = new Set([
  'type',
  'title',
  'status',
  'detail',
  'instance',
  'retryable',
  'outcome',
])

/**
 * Turns a response back into the class it was thrown as.
 * `undefined` where the body is no problem of `known`: the caller must treat that as an unknown outcome.
 */
export function decodeProblem(
  status: number,
  body: unknown,
  known: readonly ProblemClass[],
): Problem | undefined {
  if (typeof body !== 'object' || body === null) return undefined
  const wire = body as Readonly<Record<string, unknown>>
  const found = known.find(
    ({ definition }) =>
      definition.status === status && wire['type'] === PROBLEM_TYPE_BASE + definition.slug,
  )
  if (found === undefined || typeof wire['detail'] !== 'string') return undefined
  const members = Object.fromEntries(
    Object.entries(wire).filter(([name]) => !OWN_MEMBERS.has(name)),
  )
  const instance = wire['instance']
  return new found(wire['detail'], members, typeof instance === 'string' ? { instance } : {})
}
