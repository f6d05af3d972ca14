/** What programs write into documents. */
import { describe, expect, it } from 'vitest'
import { markdownTable, withPart } from '../src/markdown.ts'

describe('a table', () => {
  it('has columns as wide as their widest cell, three at least', () => {
    expect(markdownTable(['', 'n'], [['one 道', '12345']])).toBe(
      ['|        | n     |', '| ------ | ----- |', '| one 道 | 12345 |'].join('\n'),
    )
    expect(markdownTable(['a'], [])).toBe('| a   |\n| --- |')
  })
})

describe('a part of a document', () => {
  const MARKED = '# Title\n\n<!-- part -->\n<!-- /part -->\n\nmore\n'

  it('takes the place of the one before, and of nothing else', () => {
    const once = withPart(MARKED, 'part', 'text')
    expect(once).toBe('# Title\n\n<!-- part -->\n\ntext\n\n<!-- /part -->\n\nmore\n')
    expect(withPart(once, 'part', 'text\n')).toBe(once)
  })

  it.each([
    ['no marker', '# Title\n', /has the line <!-- part --> 0 times/],
    ['no end', '<!-- part -->\n', /has the line <!-- \/part --> 0 times/],
    ['a marker twice', `${MARKED}<!-- part -->\n`, /has the line <!-- part --> 2 times/],
    ['the end first', '<!-- /part -->\n<!-- part -->\n', /has <!-- \/part --> before/],
  ])('is refused by a document with %s', (_, document, message) => {
    expect(() => withPart(document, 'part', 'text')).toThrow(message)
  })
})
