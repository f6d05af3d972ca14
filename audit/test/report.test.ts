import { describe, expect, it } from 'vitest'
import type { Row } from '../src/audit.ts'
import { readGauge } from '../src/gauges.ts'
import { formatReport } from '../src/report.ts'

const row = (over: Partial<Row>): Row => ({
  id: 'I1',
  promise: 'charged at most once',
  result: 'ok',
  needs: undefined,
  findings: [],
  note: '',
  ...over,
})

describe('the table', () => {
  it('aligns its columns and names offenders below their row', () => {
    const rows = [
      row({ note: '4 charges' }),
      row({ id: 'I3', promise: 'none lost', result: 'not checked', needs: '--acks FILE' }),
      row({
        id: 'I10',
        promise: 'books balance',
        result: 'violated',
        findings: [{ subject: 'acme/1', why: 'psp 4, booked 5' }],
        note: '2 balances',
      }),
    ]
    expect(formatReport(rows)).toBe(
      [
        'I1   charged at most once  ok                              4 charges',
        'I3   none lost             not checked: needs --acks FILE',
        'I10  books balance         violated (1)                    2 balances',
        '     acme/1: psp 4, booked 5',
        '',
        '1 ok, 1 violated, 1 not checked',
        '',
      ].join('\n'),
    )
  })

  it('names twenty offenders and counts the others', () => {
    const findings = Array.from({ length: 25 }, (_, i) => ({ subject: `acme/${i}`, why: 'x' }))
    const text = formatReport([row({ result: 'violated', findings })])
    expect(text.match(/acme/g)).toHaveLength(20)
    expect(text).toContain('… and 5 more (--json names all)')
  })

  it('is coloured only where it is told to be', () => {
    expect(formatReport([row({})])).not.toContain('\u001b')
    expect(formatReport([row({})], { colours: true })).toContain('\u001b[32mok\u001b[0m')
  })
})

describe('a gauge in OpenMetrics text', () => {
  it('is the sum over its labels, with or without a timestamp', () => {
    const text =
      '# TYPE busy gauge\nbusy{pool="a b"} 1 1.7e9\nbusy{pool="c"} 2\nbusy_total 9\n# EOF\n'
    expect(readGauge(text, 'busy')).toBe(3)
  })

  it('is absent, not zero, where there is none', () => {
    expect(readGauge('# TYPE busy gauge\nbusy_total 9\n', 'busy')).toBeUndefined()
  })
})
