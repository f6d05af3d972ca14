/** Asks every rule, and tells what was found so that somebody who has never seen the rule can mend it. */
import type { Tools } from '@oms/lab/tools'
import type { Tree } from './manifests.ts'
import { GATES, type Gate, type Rule, type Wrong } from './rule.ts'
import { RULES } from './rules.ts'

export interface Answer {
  readonly rule: Rule
  readonly subjects: number
  readonly findings: readonly Finding[]
  /** It needs tools that are not there. */
  readonly skipped: boolean
}

/** One thing that is wrong, wherever it is. */
export interface Finding {
  readonly what: string
  readonly where: readonly string[]
}

export async function ask(
  tree: Tree,
  tools: Tools | undefined,
  rules: readonly Rule[] = RULES,
): Promise<readonly Answer[]> {
  return Promise.all(
    rules.map(async (rule) => {
      if ('run' in rule && tools === undefined)
        return { rule, subjects: 0, findings: [], skipped: true }
      try {
        const { subjects, wrong } =
          'run' in rule ? await rule.run(tree, tools as Tools) : rule.check(tree)
        return { rule, subjects, findings: merged(wrong), skipped: false }
      } catch (error) {
        // Rules read manifests as if they had their form; G2 tells of those that have not.
        if (!(error instanceof TypeError)) throw error
        const what = `a manifest has another form than this rule expects (${error.message}); G2 may say which`
        return { rule, subjects: 0, findings: [{ what, where: ['k8s'] }], skipped: false }
      }
    }),
  )
}

/** What stands in the base stands in every overlay. */
function merged(wrong: readonly Wrong[]): readonly Finding[] {
  const byWhat = Map.groupBy(wrong, ({ what }) => what)
  return [...byWhat].map(([what, all]) => ({
    what,
    where: [...new Set(all.map(({ where }) => where))],
  }))
}

/** A line for each of G1 to G14, then every finding with why it matters and how to mend it. */
export function report(answers: readonly Answer[]): string {
  const gates = Object.keys(GATES) as Gate[]
  const lines = gates.map((gate) =>
    lineOf(
      gate,
      answers.filter(({ rule }) => rule.gate === gate),
    ),
  )
  return [...lines, ...answers.filter(({ findings }) => findings.length > 0).map(story)].join('\n')
}

function lineOf(gate: Gate, answers: readonly Answer[]): string {
  const sum = (count: (answer: Answer) => number): number =>
    answers.reduce((all, each) => all + count(each), 0)
  const findings = sum((each) => each.findings.length)
  const skipped = answers.filter((each) => each.skipped).length
  const cells = [
    gate.padEnd(4),
    GATES[gate].padEnd(22),
    `${answers.length} rules`.padStart(9),
    `${sum((each) => each.subjects)} checks`.padStart(12),
    findings === 0 ? 'ok' : `${findings} ${findings === 1 ? 'finding' : 'findings'}`,
  ]
  return cells.join('  ') + (skipped === 0 ? '' : `; ${skipped} not run: pnpm lab build`)
}

function story({ rule: { gate, name, why, mend }, findings }: Answer): string {
  const found = findings.map(({ what, where }) => `  ${what}\n      in ${places(where)}`)
  return `\n${gate}: ${name}\n${found.join('\n')}\n  Why it matters: ${why}\n  To mend it: ${mend}`
}

/** The first say enough: a finding of the base is in everything that is built on it. */
function places(where: readonly string[]): string {
  const rest = where.length - 3
  return where.slice(0, 3).join(', ') + (rest > 0 ? ` and ${rest} more` : '')
}
