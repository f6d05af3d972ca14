/** The scenarios in docs/faults.md, as the catalogue says them: `node loadtest/src/document.ts` writes them. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '@oms/lab/folders'
import { withPart } from '@oms/report/markdown'
import { CATALOGUE } from './catalogue.ts'
import { inWords } from './judge.ts'
import type { Scenario } from './scenario.ts'

/** @throws Error where the document lacks a marker. */
export function withFaults(document: string): string {
  return withPart(document, 'scenarios', CATALOGUE.map(section).join('\n'))
}

function section({
  name,
  line,
  fault,
  thresholds,
  signals,
  protections,
  see,
  needs,
}: Scenario): string {
  const bands = [
    ...Object.entries(thresholds).map(
      ([metric, conditions]) =>
        `\`${metric}\` ${conditions.map((each) => `\`${each}\``).join(' and ')}`,
    ),
    ...Object.entries(signals).map(([signal, band]) => `\`${signal}\` ${inWords(band)}`),
  ]
  const without = Object.entries(protections).map(
    ([protection, { what, breaks }]) =>
      `- \`pnpm loadtest ${name} --without ${protection}\`: ${what}. Red: ${breaks.map((each) => `\`${each}\``).join(', ')}.`,
  )
  return `### ${name}

${capital(line)}.

\`\`\`sh
pnpm loadtest ${name}
\`\`\`

${fault === undefined ? '' : `The fault: ${fault.what}. `}Expected: ${bands.join('; ') || 'what its steps say'}.${needs === 'api' ? ' Needs no mesh.' : ''}

- Jaeger: ${see.jaeger}.
- Prometheus: ${see.prometheus}.
- Logs: ${see.logs}.
- Why: ${see.why}.
${without.map((each) => `${each}\n`).join('')}`
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

if (import.meta.main) {
  const path = join(ROOT, 'docs/faults.md')
  writeFileSync(path, withFaults(readFileSync(path, 'utf8')))
}
