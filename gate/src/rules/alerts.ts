/** G10: every alert can fire: its metrics exist, its expression is tested both ways, and it says what it means. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { type Ended, exec } from '@oms/lab/command'
import type { KubernetesObject } from '@oms/lab/kubectl'
import { stringify } from 'yaml'
import { objectsIn } from '../files.ts'
import type { Tree } from '../manifests.ts'
import { ofKind } from '../objects.ts'
import { type Checked, inTree, type Rule } from '../rule.ts'

interface Alert {
  readonly alert: string
  readonly expr: string
  readonly for?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
}

interface Placed {
  readonly path: string
  readonly rule: KubernetesObject
}

function rulesOf({ files }: Tree): readonly Placed[] {
  return [...files].flatMap(([path, file]) =>
    ofKind({ objects: objectsIn(file) }, 'PrometheusRule').map((rule) => ({ path, rule })),
  )
}

function alertsOf(tree: Tree): readonly { readonly path: string; readonly alert: Alert }[] {
  return rulesOf(tree).flatMap(({ path, rule }) =>
    (rule['spec'].groups as readonly { rules: readonly Alert[] }[]).flatMap(({ rules }) =>
      rules.map((alert) => ({ path, alert })),
    ),
  )
}

/** Words of PromQL that are not metrics. */
const WORDS = new Set([
  'and',
  'bool',
  'by',
  'group_left',
  'group_right',
  'ignoring',
  'on',
  'or',
  'unless',
  'without',
])

/** The metrics that an expression reads. */
function metricsOf(expr: string): readonly string[] {
  const bare = expr
    .replaceAll(/"[^"]*"/g, '')
    .replaceAll(/\{[^}]*\}|\[[^\]]*\]|\boffset\s+\w+/g, '')
    .replaceAll(/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, '')
  const names = [...bare.matchAll(/[a-zA-Z_:][\w:]*(?!\w*\s*\()/g)].map(([name]) => name)
  return [...new Set(names)].filter((name) => !WORDS.has(name) && !/^e\d/.test(name))
}

/** Names of metrics, one a line, as Prometheus has scraped them. */
const SNAPSHOT = 'observability/metrics.snapshot'

/** Of Prometheus itself, and of kube-state-metrics, which the lab has not. */
const ELSEWHERE = ['up', 'kube_deployment_status_replicas_available'] as const

const ALERTS = [
  'IstiodDown',
  'IstiodNotHA',
  'IstiodHighMemory',
  'IstioConfigRejected',
  'SidecarInjectionFailing',
  'IstioPushSlow',
  'MeshRootCertExpiring',
  'WorkloadCertNotRotating',
  'SailOperatorDown',
  'CircuitOpen',
  'EndpointEjected',
  'RetryBudgetSpent',
  'TracesDropped',
] as const

interface UnitTest {
  readonly alert_rule_test?: readonly {
    readonly alertname: string
    readonly exp_alerts?: readonly unknown[]
  }[]
}

function unitTestsOf(
  { files }: Tree,
  path: string,
): readonly NonNullable<UnitTest['alert_rule_test']>[number][] {
  const [document] = files.get(path.replace(/\.yaml$/, '.test.yaml'))?.documents ?? []
  const { tests = [] } = (document ?? {}) as { tests?: readonly UnitTest[] }
  return tests.flatMap(({ alert_rule_test = [] }) => alert_rule_test)
}

interface Group {
  readonly rules: readonly Alert[]
}

/** A test must say every annotation again; of these the text is fixed, and its length does not help. */
function withoutDescriptions({ rules, ...group }: Group): Group {
  return {
    ...group,
    rules: rules.map(({ annotations: { description: _text, ...annotations } = {}, ...alert }) => ({
      ...alert,
      annotations,
    })),
  }
}

/** Each line once. */
function wordsOf({ stdout, stderr }: Ended): string {
  return [...new Set(`${stderr}${stdout}`.trim().split('\n'))].join('\n    ')
}

/** Runs promtool on the groups of each PrometheusRule, and on the tests beside it. */
async function checkWithPromtool(tree: Tree, promtool: string): Promise<Checked> {
  const dir = mkdtempSync(join(tmpdir(), 'oms-alerts-'))
  try {
    const placed = rulesOf(tree)
    const wrong = await Promise.all(
      placed.map(async ({ path, rule }) => {
        const name = basename(path)
        const tests = name.replace(/\.yaml$/, '.test.yaml')
        const { groups } = rule['spec']
        writeFileSync(join(dir, `whole-${name}`), stringify({ groups }))
        writeFileSync(join(dir, name), stringify({ groups: groups.map(withoutDescriptions) }))
        writeFileSync(join(dir, tests), tree.files.get(join(dirname(path), tests))?.text ?? '{}')
        const runs = await Promise.all([
          exec(promtool, ['check', 'rules', '--lint=all', '--lint-fatal', `whole-${name}`], {
            cwd: dir,
          }),
          exec(promtool, ['test', 'rules', tests], { cwd: dir }),
        ])
        return runs
          .filter(({ code }) => code !== 0)
          .map((ended) => ({ where: path, what: `promtool: ${wordsOf(ended)}` }))
      }),
    )
    return { subjects: placed.length, wrong: wrong.flat() }
  } finally {
    rmSync(dir, { recursive: true })
  }
}

export const alertRules: readonly Rule[] = [
  inTree({
    gate: 'G10',
    name: 'every known failure has its alert',
    why: 'Who deletes an alert that was noisy also deletes the only one who would have told.',
    mend: 'Put it back into istio-control-plane/alerts.yaml; mend its threshold instead.',
    subjects: () => ALERTS,
    wrong: (name, tree) =>
      alertsOf(tree).some(({ alert }) => alert.alert === name)
        ? []
        : [{ where: 'istio-control-plane/alerts.yaml', what: `${name} is not there` }],
  }),
  inTree({
    gate: 'G10',
    name: 'every alert reads metrics that Prometheus has',
    why: 'An expression over a name that nobody exposes is valid and never true: the alert sleeps through the outage.',
    mend: `The name as it stands in ${SNAPSHOT}, which is recorded from the lab.`,
    subjects: alertsOf,
    wrong({ path, alert: { alert, expr } }, { files }) {
      const known = new Set([...(files.get(SNAPSHOT)?.text.split('\n') ?? []), ...ELSEWHERE])
      return metricsOf(expr)
        .filter((name) => !known.has(name))
        .map((name) => ({
          where: path,
          what: `${alert}: expr reads ${name}, which is not in ${SNAPSHOT}`,
        }))
    },
  }),
  inTree({
    gate: 'G10',
    name: 'the snapshot of metrics is sorted and says each name once',
    why: 'A recording anew then shows what has changed, and nothing else.',
    mend: 'LC_ALL=C sort -u',
    subjects: ({ files }) => [files.get(SNAPSHOT)?.text.trimEnd().split('\n') ?? []],
    wrong: (names) =>
      JSON.stringify(names) === JSON.stringify([...new Set(names)].sort()) && names.length > 0
        ? []
        : [{ where: SNAPSHOT, what: 'it is not sorted, or empty' }],
  }),
  inTree({
    gate: 'G10',
    name: 'every alert is tested, firing and silent',
    why: 'An expression that never fires and one that always does both look right.',
    mend: 'Two alert_rule_test in the .test.yaml beside it: one with exp_alerts, one without.',
    subjects: alertsOf,
    wrong({ path, alert: { alert } }, tree) {
      const tests = unitTestsOf(tree, path).filter(({ alertname }) => alertname === alert)
      const firing = tests.some(({ exp_alerts = [] }) => exp_alerts.length > 0)
      const silent = tests.some(({ exp_alerts = [] }) => exp_alerts.length === 0)
      return [
        ...(firing ? [] : [{ where: path, what: `${alert}: no test in which it fires` }]),
        ...(silent ? [] : [{ where: path, what: `${alert}: no test in which it is silent` }]),
      ]
    },
  }),
  inTree({
    gate: 'G10',
    name: 'every alert says how bad it is and what it means',
    why: 'Without a severity no route of Alertmanager takes it; without a summary the pager shows a bare name.',
    mend: 'labels.severity: critical or warning; annotations.summary and description.',
    subjects: alertsOf,
    wrong({ path, alert: { alert, labels = {}, annotations = {} } }) {
      return [
        ...(['critical', 'warning'].includes(labels['severity'] ?? '')
          ? []
          : [`labels.severity is ${labels['severity'] ?? 'missing'}`]),
        ...['summary', 'description']
          .filter((field) => !annotations[field])
          .map((field) => `annotations.${field} is missing`),
      ].map((what) => ({ where: path, what: `${alert}: ${what}` }))
    },
  }),
  inTree({
    gate: 'G10',
    name: 'a condition that may pass by itself must hold for a while',
    why: 'Without `for` a single scrape that fails wakes somebody up.',
    mend: 'for: 1m or more; none only where the expression itself compares with five minutes ago.',
    subjects: alertsOf,
    wrong: ({ path, alert }) =>
      alert.for !== undefined || alert.expr.includes('offset')
        ? []
        : [{ where: path, what: `${alert.alert}: for is missing` }],
  }),
  inTree({
    gate: 'G10',
    name: 'no alert asks a counter in a way that it cannot answer',
    why: 'A failure counter is born at 1, which increase() and rate() do not see; `up == 0` misses a target that is gone; a rate over a regular expression of names collides; memory_usage counts caches.',
    mend: 'sum(x) > (sum(x offset 5m) or vector(0)); absent(up{…} == 1); one rate a name; memory_working_set_bytes.',
    subjects: alertsOf,
    wrong: ({ path, alert: { alert, expr } }) =>
      TRAPS.filter((trap) => trap.test(expr)).map((trap) => ({
        where: path,
        what: `${alert}: expr has ${trap.exec(expr)?.[0]}`,
      })),
  }),
  {
    gate: 'G10',
    name: 'promtool accepts every alert and its tests pass',
    why: 'Prometheus refuses a whole file for one wrong rule, and keeps the old ones.',
    mend: 'Mend what promtool says.',
    run: (tree, tools) => checkWithPromtool(tree, tools.program('prometheus', 'promtool')),
  },
]

const TRAPS = [
  /(increase|rate)\((pilot_total_xds_rejects|sidecar_injection_failure_total)/,
  /\bup(\{[^}]*\})?\s*==\s*0/,
  /\{__name__=~[^}]*\}/,
  /container_memory_usage_bytes/,
] as const
