/** Without names of windows above it, the plot lies between (64, 20) and (784, 240) of the viewBox. */
import { describe, expect, it } from 'vitest'
import { renderBlock } from '../src/blocks.ts'
import type { Chart, Series } from '../src/document.ts'
import { STYLE } from '../src/page.ts'

type Points = Series['points']

const EVIL = `<b>"&'</b>`

function render(chart: Partial<Chart>): string {
  return renderBlock({
    kind: 'chart',
    title: 'Orders',
    unit: '1/s',
    seconds: 60,
    series: [],
    ...chart,
  })
}

function renderPoints(points: Points, rest: Partial<Chart> = {}): string {
  return render({ series: [{ name: 'orders', points }], ...rest })
}

function everySecond(count: number, value: (second: number) => number): Points {
  return Array.from({ length: count }, (_, second) => [second, value(second)] as const)
}

/** In the plot, not in the legend. */
function plotOf(html: string): string {
  return /<svg class="plot".*?<\/svg>/s.exec(html)?.[0] ?? ''
}

function curvesOf(html: string): string[] {
  return [...plotOf(html).matchAll(/class="curve" d="([^"]*)"/g)].map(([, path = '']) => path)
}

function textsOf(html: string, names: string): string[] {
  const texts = plotOf(html).matchAll(new RegExp(`<text class="${names}"[^>]*>([^<]*)<`, 'g'))
  return [...texts].map(([, text = '']) => text)
}

function legendOf(html: string): string[] {
  return [...html.matchAll(/<li>(.*?)<\/li>/g)].map(([, item = '']) =>
    item.replace(/<svg.*?<\/svg>|<[^>]*>/g, ''),
  )
}

function rowsOf(html: string): string[][] {
  const [, body = ''] = /<tbody>(.*?)<\/tbody>/s.exec(html) ?? []
  return [...body.matchAll(/<tr>(.*?)<\/tr>/g)].map(([, row = '']) =>
    [...row.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/g)].map(([, cell = '']) => cell),
  )
}

/** WCAG 2.2: contrast ratio of two colours as #rrggbb or #rgb. */
function contrast(one: string, other: string): number {
  const [dark = 0, light = 0] = [one, other].map(luminance).sort((a, b) => a - b)
  return (light + 0.05) / (dark + 0.05)
}

function luminance(colour: string): number {
  const digits = colour.slice(1).replace(/^(.)(.)(.)$/, '$1$1$2$2$3$3')
  const [red = 0, green = 0, blue = 0] = [0, 2, 4].map((start) => {
    const part = Number.parseInt(digits.slice(start, start + 2), 16) / 255
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}

describe('the axes of a chart', () => {
  it.each([
    ['to the next nice step', [3, 47], ['0', '10', '20', '30', '40', '50']],
    ['of fractions without rounding errors', [0.1, 0.3], ['0', '0.1', '0.2', '0.3']],
    ['exactly, where the greatest value is nice', [100], ['0', '20', '40', '60', '80', '100']],
    ['with commas', [7300], ['0', '2,000', '4,000', '6,000', '8,000']],
    ['of millions', [2.4e6], ['0', '500K', '1M', '1.5M', '2M', '2.5M']],
    ['of very small values', [0.00003], ['0', '1E-5', '2E-5', '3E-5']],
    ['below 0', [-4, 7], ['-5', '0', '5', '10']],
    ['where all is 0', [0, 0], ['0', '1']],
  ])('have ticks of values %s', (_, values, ticks) => {
    const html = renderPoints(values.map((value, second) => [second, value]))
    expect(textsOf(html, 'edge')).toEqual(ticks)
  })

  it.each([
    [0.3, ['0', '0.05', '0.1', '0.15', '0.2', '0.25', '0.3'], 'seconds'],
    [64, ['0', '10', '20', '30', '40', '50', '60'], 'seconds'],
    [120, ['0', '15', '30', '45', '60', '75', '90', '105', '120'], 'seconds'],
    [
      150,
      ['0:00', '0:15', '0:30', '0:45', '1:00', '1:15', '1:30', '1:45', '2:00', '2:15', '2:30'],
      'minutes:seconds',
    ],
    [1800, ['0', '5', '10', '15', '20', '25', '30'], 'minutes'],
  ])('have ticks of time over %d s', (seconds, ticks, unit) => {
    expect(textsOf(render({ seconds }), 'middle')).toEqual([...ticks, unit])
  })

  it('have a tick where its value is', () => {
    const html = plotOf(renderPoints([[0, 10]]))
    expect(html).toContain('<path class="grid" d="M64 152H784"/>')
    expect(html).toContain('<text class="edge" x="56" y="156">4</text>')
    expect(html).toContain('<path class="grid" d="M424 20V240"/>')
    expect(html).toContain('<text class="middle" x="424" y="256">30</text>')
  })
})

describe('the curve of a series', () => {
  it('begins at the left, ends at the right, reaches the top with its greatest value', () => {
    const html = renderPoints([
      [0, 0],
      [15, 100],
      [60, 25],
    ])
    expect(curvesOf(html)).toEqual(['M64 240L244 20L784 185'])
    expect(legendOf(html)).toEqual(['orders last 25 · max 100'])
  })

  it('takes points in any order, last being the latest', () => {
    const html = renderPoints([
      [60, 25],
      [0, 0],
      [15, 100],
    ])
    expect(curvesOf(html)).toEqual(['M64 240L244 20L784 185'])
    expect(legendOf(html)).toEqual(['orders last 25 · max 100'])
  })

  it('reaches below 0', () => {
    expect(
      curvesOf(
        renderPoints([
          [0, -10],
          [60, 10],
        ]),
      ),
    ).toEqual(['M64 240L784 20'])
  })

  it('is steps where a value holds until the next', () => {
    const points: Points = [
      [0, 2],
      [30, 1],
    ]
    expect(curvesOf(render({ series: [{ name: 'pods', points, steps: true }] }))).toEqual([
      'M64 20H424V130',
    ])
  })

  it('is split where points are more than three median distances apart, and only there', () => {
    const html = renderPoints([0, 1, 2, 5, 6, 9.5, 10].map((at) => [at, 10] as const))
    expect(curvesOf(html)).toEqual(['M64 20L76 20L88 20L124 20L136 20M178 20L184 20'])
  })

  it.each([
    ['rounding errors', [0, 0.1, 0.4, 0.5, 0.6, 0.7]],
    ['moments that come more than once', [0, 0, 0, 1, 1, 1, 2, 2, 2]],
  ])('is not split by %s', (_, times) => {
    const html = renderPoints(times.map((at) => [at, 10] as const))
    expect(curvesOf(html).join('').match(/M/g)).toHaveLength(1)
  })

  it('shows a point that stands alone', () => {
    const times = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 20.5, 30, 31]
    const html = plotOf(renderPoints(times.map((at) => [at, 10] as const)))
    expect(html).toMatch(/class="signs" d="[^"]*M310 20m/)
  })

  it('skips what is not finite, and says how much', () => {
    const html = renderPoints([
      [0, 0],
      [15, Number.NaN],
      [30, 100],
      [Number.NaN, 1],
      [45, Infinity],
      [60, 25],
    ])
    expect(curvesOf(html)).toEqual(['M64 240L424 20L784 185'])
    expect(legendOf(html)).toEqual(['orders last 25 · max 100'])
    expect(html).toContain('outside the time axis: 3 of 6 points.')
    expect(html).not.toMatch(/NaN|Infinity|∞/)
  })

  it('leaves out what the time axis does not reach, and says how much', () => {
    const html = renderPoints([
      [-1, 1000],
      [0, 0],
      [60, 100],
      [60.1, 1000],
    ])
    expect(curvesOf(html)).toEqual(['M64 240L784 20'])
    expect(html).toContain('outside the time axis: 2 of 4 points.')
    expect(renderPoints([[60, 1]])).not.toContain('Left out')
  })

  it('lies on the axis where all is 0', () => {
    const html = renderPoints([
      [0, 0],
      [60, 0],
    ])
    expect(curvesOf(html)).toEqual(['M64 240L784 240'])
    expect(legendOf(html)).toEqual(['orders last 0 · max 0'])
  })

  it.each([0, -1, Number.NaN, Infinity])('is drawn though the time axis is %d s', (seconds) => {
    const html = renderPoints([[0, 1]], { seconds })
    expect(curvesOf(html)).toEqual(['M64 20'])
    expect(html).not.toMatch(/NaN|Infinity/)
  })

  it('has a colour and a sign of its own, and so has its key', () => {
    const series = Array.from({ length: 12 }, (_, index) => ({
      name: `series ${index}`,
      points: [[0, index]] as const,
    }))
    const html = render({ series })
    const looks = [
      ...html.matchAll(
        /<g class="(series-\d)"><path[^>]*><path class="signs" d="M[-\d. ]+([^"]*)"/g,
      ),
    ].map(([, colour, sign]) => `${colour} ${sign}`)
    expect(looks).toHaveLength(24)
    expect(new Set(looks.slice(0, 12)).size).toBe(12)
    expect(new Set(looks.slice(0, 6).map((look) => look.split(' ')[0])).size).toBe(6)
    expect(new Set(looks.slice(0, 6).map((look) => look.slice('series-1 '.length))).size).toBe(6)
    expect(looks.slice(12)).toEqual(looks.slice(0, 12))
  })
})

describe('a chart', () => {
  it('says that there are no values, as a whole and of a series', () => {
    const none = render({ series: [{ name: 'orders', points: [] }] })
    expect(textsOf(none, 'middle over')).toEqual(['no values'])
    expect(legendOf(none)).toEqual(['orders no values'])
    expect(none).not.toContain('<table>')

    const some = render({
      series: [
        { name: 'orders', points: [[0, 1]] },
        { name: 'refunds', points: [[1, Number.NaN]] },
      ],
    })
    expect(textsOf(some, 'middle over')).toEqual([])
    expect(legendOf(some)).toEqual(['orders last 1 · max 1', 'refunds no values'])
    expect(curvesOf(some)).toHaveLength(1)
  })

  it('escapes every name', () => {
    const html = render({
      title: EVIL,
      unit: EVIL,
      series: [{ name: EVIL, points: [[0, 1]] }],
      windows: [{ name: EVIL, from: 0, to: 1 }],
      bounds: [{ name: EVIL, at: 1 }],
    })
    expect(html).not.toContain('<b>')
    expect(html).not.toContain(`"&'`)
    expect(html.match(/&lt;b&gt;&quot;&amp;&#39;&lt;\/b&gt;/g)).toHaveLength(12)
  })

  it('shades a window as far as the time axis reaches, its name above', () => {
    const html = render({
      windows: [
        { name: 'late', from: 45, to: Infinity },
        { name: 'early', from: -10, to: 15 },
        { name: 'moment', from: 30, to: 30 },
        { name: 'never', from: 61, to: 70 },
        { name: 'before', from: -2, to: -1 },
        { name: 'unknown', from: Number.NaN, to: 5 },
      ],
    })
    expect(plotOf(html).match(/<rect [^>]*>/g)).toEqual([
      '<rect class="window" x="64" y="36" width="180" height="220"/>',
      '<rect class="window" x="424" y="36" width="1" height="220"/>',
      '<rect class="window" x="604" y="36" width="180" height="220"/>',
    ])
    expect(plotOf(html)).toContain('<text x="64" y="31">early</text>')
    expect(plotOf(html)).toContain('<text x="604" y="31">late</text>')
    expect(legendOf(html)).toEqual(['early 0–15 s', 'moment 30–30 s', 'late 45–60 s'])
    expect(html).not.toMatch(/never|before|unknown/)
  })

  it('puts names of windows neither on each other nor beyond the right end', () => {
    const html = plotOf(
      render({
        windows: [
          { name: 'a payment pod dies', from: 50, to: 55 },
          { name: 'another one dies', from: 58, to: 59 },
        ],
      }),
    )
    expect(html).toContain('<text x="658" y="31">a payment pod dies</text>')
    expect(html).toContain('<text x="672" y="47">another one dies</text>')
    expect(html).toContain('y="52" width="60" height="220"')
  })

  it('draws a bound with its name, within the values of the axis', () => {
    const html = renderPoints([[0, 40]], {
      bounds: [
        { name: 'declared', at: 75 },
        { name: 'unknown', at: Number.NaN },
      ],
    })
    expect(textsOf(html, 'edge')).toEqual(['0', '20', '40', '60', '80'])
    expect(plotOf(html).match(/<path class="bound"[^>]*>/g)).toEqual([
      '<path class="bound" d="M64 33.8H784"/>',
    ])
    expect(textsOf(html, 'edge over')).toEqual(['declared'])
    expect(legendOf(html)).toEqual(['orders last 40 · max 40', 'declared 75'])
  })

  it('has its numbers in a table, a row a moment of any series', () => {
    const html = render({
      series: [
        {
          name: 'orders',
          points: [
            [0, 12345.6],
            [2, 0.12345],
          ],
        },
        {
          name: 'refunds',
          points: [
            [1.5, 3],
            [2, 4],
          ],
        },
      ],
    })
    expect(rowsOf(html)).toEqual([
      ['0', '12,346', ''],
      ['1.5', '', '3'],
      ['2', '0.123', '4'],
    ])
    expect(html).toContain('<caption>In 1/s.</caption>')
  })

  it('thins a long table evenly to values that were there, and says so', () => {
    const html = render({
      seconds: 600,
      series: [
        { name: 'orders', points: everySecond(600, (second) => second + 1000) },
        {
          name: 'refunds',
          points: everySecond(300, (second) => second).map(([at, value]) => [at + 0.5, value]),
        },
      ],
    })
    const rows = rowsOf(html)
    expect(rows).toHaveLength(60)
    expect(rows.slice(0, 2)).toEqual([
      ['0', '1,000', '0'],
      ['10', '1,010', '10'],
    ])
    expect(rows.at(-1)).toEqual(['590', '1,590', ''])
    expect(html).toContain('60 rows of 900: the first value in each 10 s.')
  })

  it('leaves a table of sixty rows whole', () => {
    const html = renderPoints(everySecond(60, () => 1))
    expect(rowsOf(html)).toHaveLength(60)
    expect(html).toContain('<caption>In 1/s.</caption>')
  })

  it('is an image with a name to who hears the page', () => {
    expect(render({})).toContain(
      '<svg class="plot" viewBox="0 0 800 280" role="img" aria-label="Orders: 1/s over 60 s">\n<title>Orders</title>',
    )
  })

  it('has all its looks in the style of the page, whose policy allows no other', () => {
    const html = render({
      series: Array.from({ length: 6 }, () => ({ name: 'x', points: [[0, 1]] as const })),
      windows: [{ name: 'x', from: 0, to: 1 }],
      bounds: [{ name: 'x', at: 1 }],
    })
    const names = [...html.matchAll(/class="([^"]*)"/g)].flatMap(([, all = '']) => all.split(' '))
    for (const name of new Set(names)) expect(STYLE, name).toMatch(new RegExp(`\\.${name}[ ,:{]`))
    expect(html).not.toMatch(/ style=|<style|<script|url\(|https?:|href=/)
  })

  it('has six colours in each scheme that stand out from the page', () => {
    const schemes = STYLE.split('@media (prefers-color-scheme: dark)').map((scheme) => ({
      page: /--page: (#\w+)/.exec(scheme)?.[1] ?? '',
      series: [...scheme.matchAll(/--series-\d: (#\w+)/g)].map(([, colour = '']) => colour),
    }))
    expect(schemes).toHaveLength(2)
    for (const { page, series } of schemes) {
      expect(new Set(series).size).toBe(6)
      for (const colour of series) expect(contrast(colour, page), colour).toBeGreaterThan(3)
    }
  })
})
