import { join } from 'node:path'
import { ROOT } from '@oms/lab/folders'
import { describe, expect, test } from 'vitest'
import { BROKEN_COPIES } from '../broken/copies.ts'
import { type BrokenCopy, broken } from '../broken/edits.ts'
import { readEvidence } from '../src/evidence.ts'
import { readFiles } from '../src/files.ts'
import { ask } from '../src/gate.ts'
import { treeOf } from '../src/manifests.ts'
import { RULES } from '../src/rules.ts'

const SOURCES = { files: readFiles(join(ROOT, 'k8s')), evidence: readEvidence(ROOT) }
const PLAIN = RULES.filter((rule) => 'check' in rule)

test('the manifests as they are break no rule', async () => {
  const answers = await ask(treeOf(SOURCES), undefined, PLAIN)
  expect(answers.filter(({ findings }) => findings.length > 0)).toEqual([])
})

test('every rule asks somebody', async () => {
  const answers = await ask(treeOf(SOURCES), undefined, PLAIN)
  expect(answers.filter(({ subjects }) => subjects === 0).map(({ rule }) => rule.name)).toEqual([])
})

const asked = new Map<BrokenCopy, ReturnType<typeof ask>>()

/** Each is asked once. */
function answersTo(copy: BrokenCopy): ReturnType<typeof ask> {
  const rules = PLAIN.filter(({ gate }) => gate === copy.gate)
  const answers = asked.get(copy) ?? ask(treeOf(broken(SOURCES, copy)), undefined, rules)
  asked.set(copy, answers)
  return answers
}

describe('a broken copy is refused with its reason', () => {
  test.each(BROKEN_COPIES.map((copy) => [copy.gate, copy.mistake, copy] as const))(
    '%s: %s',
    async (_gate, _mistake, copy) => {
      const answers = await answersTo(copy)
      const findings = answers.flatMap((answer) => answer.findings.map(({ what }) => what))
      expect(findings).toContainEqual(expect.stringMatching(copy.says))
    },
  )
})

test('every rule is broken by some copy', async () => {
  const answers = await Promise.all(BROKEN_COPIES.map(answersTo))
  const broke = answers.flat().filter(({ findings }) => findings.length > 0)
  const names = new Set(broke.map(({ rule }) => rule.name))
  expect(PLAIN.map(({ name }) => name).filter((name) => !names.has(name))).toEqual([])
})
