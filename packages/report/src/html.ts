/**
 * A report as one HTML page that needs nothing else: it opens from a disk, prints, and runs no script but its own.
 * Without scripts everything but the filter works.
 */
import { createHash } from 'node:crypto'
import { renderBlock, renderLine, renderMark } from './blocks.ts'
import type { ReportDocument, Section } from './document.ts'
import { escapeHtml } from './escape.ts'
import { SCRIPT, STYLE } from './page.ts'

export function renderHtml({ title, subtitle, verdict, facts, sections }: ReportDocument): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<title>${escapeHtml(`${verdict.text} · ${title}`)}</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>${escapeHtml(title)}</h1>
<p class="subtitle">${escapeHtml(subtitle)}</p>
<p class="verdict ${verdict.tone}">${renderMark(verdict.tone)}${escapeHtml(verdict.text)}</p>
<dl>${facts.map(([label, value]) => `<div><dt>${escapeHtml(label)}</dt><dd>${renderLine(value)}</dd></div>`).join('\n')}</dl>
</header>
<form class="filter" role="search" hidden></form>
<main>
${sections.map(renderSection).join('\n')}
</main>
<script>${SCRIPT}</script>
</body>
</html>
`
}

/** Nothing is loaded, and nothing runs that is not this page's, should text ever escape its place. */
const POLICY = [
  "default-src 'none'",
  `style-src '${digest(STYLE)}'`,
  `script-src '${digest(SCRIPT)}'`,
  "base-uri 'none'",
  "form-action 'none'",
].join('; ')

function digest(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`
}

function renderSection({ title, blocks }: Section): string {
  return `<section>
<h2>${escapeHtml(title)}</h2>
${blocks.map(renderBlock).join('\n')}
</section>`
}
