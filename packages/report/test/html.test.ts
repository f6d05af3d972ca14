import { createHash } from 'node:crypto'
import { Script } from 'node:vm'
import { describe, expect, it } from 'vitest'
import type { Block, ReportDocument } from '../src/document.ts'
import { renderHtml } from '../src/html.ts'
import { SCRIPT } from '../src/page.ts'

const EVIL = `<script>alert("x")</script>&'`

function page(blocks: readonly Block[], rest: Partial<ReportDocument> = {}): string {
  return renderHtml({
    title: 'Proofs',
    subtitle: 'lab',
    verdict: { text: '3 green', tone: 'good' },
    facts: [['Istio', '1.31.0']],
    sections: [{ title: 'Section', blocks }],
    ...rest,
  })
}

/** Every place that takes text. */
const EVERYWHERE = page(
  [
    { kind: 'paragraph', text: [EVIL, { text: EVIL, mono: true, tone: 'bad', href: `#${EVIL}` }] },
    { kind: 'preformatted', text: EVIL },
    { kind: 'table', caption: EVIL, columns: [{ title: EVIL }], rows: [[EVIL]] },
    {
      kind: 'entries',
      entries: [{ id: EVIL, tone: 'bad', summary: EVIL, note: EVIL, blocks: [] }],
    },
    {
      kind: 'chart',
      title: EVIL,
      unit: EVIL,
      seconds: 60,
      series: [{ name: EVIL, points: [[0, 1]] }],
      windows: [{ name: EVIL, from: 10, to: 20 }],
      bounds: [{ name: EVIL, at: 2 }],
    },
  ],
  {
    title: EVIL,
    subtitle: EVIL,
    verdict: { text: EVIL, tone: 'bad' },
    facts: [[EVIL, EVIL]],
  },
)

describe('renderHtml', () => {
  it('escapes text wherever it stands', () => {
    expect(EVERYWHERE).not.toContain(EVIL)
    expect(EVERYWHERE.match(/<script>/g)).toHaveLength(1)
    expect(
      EVERYWHERE.match(/&lt;script&gt;alert\(&quot;x&quot;\)&lt;\/script&gt;&amp;&#39;/g),
    ).toHaveLength(29)
  })

  it('replaces characters that HTML does not allow', () => {
    expect(page([{ kind: 'preformatted', text: 'a\u0000b\u001b[31m\tc\nd' }])).toContain(
      'a\ufffdb\ufffd[31m\tc\nd',
    )
  })

  it('needs nothing beside itself, and allows its own style and script alone', () => {
    expect(EVERYWHERE).not.toMatch(/\b(src|srcset)=|href="[^#]|url\(|@import|https?:/)
    for (const tag of ['style', 'script']) {
      const [, text = ''] = new RegExp(`<${tag}>(.*?)</${tag}>`, 's').exec(EVERYWHERE) ?? []
      const digest = createHash('sha256').update(text).digest('base64')
      expect(EVERYWHERE).toContain(`${tag}-src 'sha256-${digest}'`)
    }
    expect(EVERYWHERE).not.toMatch(/ style=| on[a-z]+=/)
  })

  it('has a script that is one', () => {
    expect(() => new Script(SCRIPT)).not.toThrow()
    expect(SCRIPT).not.toContain('</script')
  })

  it('says each tone by a sign and a word, not by colour alone', () => {
    const html = page([
      {
        kind: 'entries',
        entries: (['good', 'bad', 'warn', 'idle'] as const).map((tone) => ({
          tone,
          summary: tone,
          blocks: [],
        })),
      },
    ])
    for (const [tone, word, sign] of [
      ['good', 'good', '✓'],
      ['bad', 'bad', '✗'],
      ['warn', 'warning', '!'],
      ['idle', 'not run', '–'],
    ])
      expect(html).toContain(
        `<summary><span class="mark ${tone}" role="img" aria-label="${word}">${sign}</span> `,
      )
  })

  it('names the columns and the rows of a table to who hears it', () => {
    const html = page([
      {
        kind: 'table',
        columns: [
          { title: 'Proof', mono: true },
          { title: 'Took', mono: true, right: true },
        ],
        rows: [['retry.transient', '4.2 s'], ['short']],
      },
    ])
    expect(html).toContain(
      '<tr><th scope="col" class="mono">Proof</th><th scope="col" class="mono right">Took</th></tr>',
    )
    expect(html).toContain(
      '<tr><th scope="row" class="mono">retry.transient</th><td class="mono right">4.2 s</td></tr>',
    )
    expect(html).toContain('<th scope="row" class="mono">short</th><td class="mono right"></td>')
  })

  it('opens the entries that shall be open, and nests them', () => {
    const inner: Block = {
      kind: 'entries',
      entries: [{ id: 'b', tone: 'bad', summary: 'inner', blocks: [] }],
    }
    const html = page([
      {
        kind: 'entries',
        entries: [{ id: 'a', tone: 'good', summary: 'outer', open: true, blocks: [inner] }],
      },
    ])
    expect(html).toMatch(
      /<details id="a" class="entry" data-tone="good" open>.*<details id="b" class="entry" data-tone="bad">.*<\/details>.*<\/details>/s,
    )
  })
})
