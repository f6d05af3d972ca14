/** The look of a report, and the filter above its entries. */

/**
 * The six series differ by at least 0.1 in OKLab, also without the cones for red, green or blue (Machado 2009), and from
 * the page by 3:1 (WCAG 2.2, 1.4.11).
 */
export const STYLE = `
:root {
  --text: #1c2024; --faint: #60646c; --line: #e0e1e6; --panel: #f9f9fb; --page: #fff; --link: #0b61a4;
  --good: #18794e; --bad: #c62a2f; --warn: #915930; --idle: #60646c;
  --series-1: #3a86d8; --series-2: #b8860b; --series-3: #117a65; --series-4: #5d3a9b; --series-5: #663333; --series-6: #222255;
}
@media (prefers-color-scheme: dark) { :root {
  --text: #edeef0; --faint: #b0b4ba; --line: #363a3f; --panel: #18191b; --page: #111113; --link: #70b8ff;
  --good: #3dd68c; --bad: #ff9592; --warn: #ffca16; --idle: #b0b4ba;
  --series-1: #88ccee; --series-2: #e69f00; --series-3: #44aa99; --series-4: #d55e00; --series-5: #f0e442; --series-6: #0072b2;
} }
body {
  margin: 0 auto; max-width: 76rem; padding: 1.5rem; background: var(--page); color: var(--text);
  font: 14px/1.45 system-ui, sans-serif;
}
h1 { font-size: 1.4rem; margin: 0; }
h2 { font-size: 1rem; margin: 2rem 0 .4rem; padding-bottom: .2rem; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
p { margin: .4rem 0; }
a { color: var(--link); }
code, pre, .mono, .note, dd { font-family: ui-monospace, 'SF Mono', Menlo, Consolas, monospace; font-size: .92em; font-variant-numeric: tabular-nums; }
.subtitle, .note, dt, caption, thead th { color: var(--faint); }
.verdict { font-size: 1.15rem; font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); } .idle { color: var(--idle); }
.mark { font-weight: 700; display: inline-block; min-width: 1em; text-align: center; }
dl { display: flex; flex-wrap: wrap; gap: .3rem 1.6rem; margin: .8rem 0; }
dt { font-size: .85em; } dd { margin: 0; overflow-wrap: anywhere; }
.filter:not([hidden]) { display: flex; flex-wrap: wrap; gap: .4rem 1rem; align-items: center; position: sticky; top: 0; padding: .5rem 0; background: var(--page); z-index: 1; }
input, button { font: inherit; color: inherit; background: var(--panel); border: 1px solid var(--line); border-radius: 4px; padding: .15rem .5rem; }
details { border-bottom: 1px solid var(--line); scroll-margin-top: 3.5rem; }
summary { display: flex; gap: .5rem; align-items: baseline; padding: .22rem .1rem; cursor: pointer; }
summary:hover { background: var(--panel); }
summary::before { content: '▸'; color: var(--faint); } details[open] > summary::before { content: '▾'; }
.what { flex: 1; overflow-wrap: anywhere; } .what code { margin-right: .6em; } .note { white-space: nowrap; }
.inner { margin: .1rem 0 .8rem 1.9rem; }
.scroll { overflow-x: auto; margin: .4rem 0 .8rem; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; font-size: .85em; }
th, td { text-align: left; vertical-align: top; font-weight: 400; padding: .18rem .8rem .18rem 0; border-bottom: 1px solid var(--line); overflow-wrap: break-word; max-width: 32rem; }
thead th { font-size: .85em; font-family: inherit; }
.right { text-align: right; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 4px; padding: .5rem .7rem; overflow-x: auto; margin: .4rem 0; }
.chart { margin: .8rem 0 1.2rem; max-width: 64rem; }
.chart figcaption { font-weight: 600; }
.plot { display: block; width: 100%; max-width: 100%; height: auto; fill: var(--faint); font-size: 12px; font-variant-numeric: tabular-nums; }
.plot .edge { text-anchor: end; } .plot .middle { text-anchor: middle; }
.grid { stroke: var(--line); } .window { fill: var(--faint); fill-opacity: .18; }
.bound { stroke: var(--text); stroke-dasharray: 6 4; }
.plot .over { fill: var(--text); stroke: var(--page); stroke-width: 3px; paint-order: stroke; }
.curve { fill: none; stroke: currentColor; stroke-width: 1.5; stroke-linejoin: round; }
.signs { fill: currentColor; stroke: currentColor; stroke-width: 1.5; }
.series-1 { color: var(--series-1); } .series-2 { color: var(--series-2); } .series-3 { color: var(--series-3); }
.series-4 { color: var(--series-4); } .series-5 { color: var(--series-5); } .series-6 { color: var(--series-6); }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; margin: .3rem 0; padding: 0; list-style: none; overflow-wrap: anywhere; }
.key { width: 28px; height: 12px; margin-right: .4em; vertical-align: -1px; }
@media print {
  body { max-width: none; padding: 0; font-size: 9pt; }
  .filter, .filter:not([hidden]), summary::before { display: none; }
  .scroll, pre { overflow: visible; }
  pre { white-space: pre-wrap; }
  tr, summary { break-inside: avoid; } h2, summary { break-after: avoid; }
  .numbers { display: none; }
  .chart { break-inside: avoid; }
  details::details-content { content-visibility: visible; }
}
`

export const SCRIPT = `
const entries = [...document.querySelectorAll('.entry')]
const form = document.querySelector('.filter')
const tones = [['good', 'good'], ['bad', 'bad'], ['warn', 'warning'], ['idle', 'not run']]
  .filter(([tone]) => entries.some((entry) => entry.dataset.tone === tone))
form.innerHTML = '<label>Filter <input type="search" name="text"></label>' +
  tones.map(([tone, word]) => '<label class="' + tone + '"><input type="checkbox" name="' + tone + '" checked> ' + word + '</label>').join('') +
  '<button type="button" value="open">Expand all</button><button type="button">Collapse all</button>'
form.hidden = entries.length === 0
form.addEventListener('input', () => {
  const text = form.elements.text.value.toLowerCase()
  for (const entry of entries)
    entry.hidden = !form.elements[entry.dataset.tone].checked || !entry.textContent.toLowerCase().includes(text)
})
form.addEventListener('submit', (event) => event.preventDefault())
form.addEventListener('click', ({ target }) => {
  if (target.type === 'button') for (const entry of entries) entry.open = target.value === 'open'
})
const showTarget = () => {
  const entry = document.getElementById(decodeURIComponent(location.hash.slice(1)))
  if (entry && entry.matches('.entry')) { entry.hidden = false; entry.open = true; entry.scrollIntoView() }
}
addEventListener('hashchange', showTarget)
showTarget()
let closed = []
addEventListener('beforeprint', () => { closed = entries.filter((entry) => !entry.open); for (const entry of closed) entry.open = true })
addEventListener('afterprint', () => { for (const entry of closed) entry.open = false })
`
