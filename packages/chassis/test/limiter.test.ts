import { describe, expect, test } from 'vitest'
import { createLimiter, createQuota, type Job, type Permit } from '../src/limiter.ts'

/** A limiter on a clock that only the test moves. */
function virtual(limit: number) {
  let time = 0
  const timers: { at: number; callback: () => void }[] = []
  const limiter = createLimiter({
    limit,
    now: () => time,
    schedule(ms, callback) {
      const timer = { at: time + ms, callback }
      timers.push(timer)
      return () => void timers.splice(timers.indexOf(timer), timers.includes(timer) ? 1 : 0)
    },
  })
  const log: string[] = []
  const releases = new Map<string, () => void>()

  function send(name: string, tenant = name, alive: () => boolean = () => true): void {
    const job: Job = {
      tenant,
      alive,
      run(permit: Permit) {
        log.push(`run ${name}`)
        releases.set(name, permit.hold())
      },
      refuse: () => void log.push(`refuse ${name}`),
    }
    limiter.admit(job)
  }

  function advance(ms: number): void {
    time += ms
    for (const timer of timers.splice(0))
      if (timer.at <= time) timer.callback()
      else timers.push(timer)
  }

  return { limiter, log, send, advance, finish: (name: string) => releases.get(name)?.() }
}

describe('the limiter', () => {
  test('gives no permit to a caller that is gone: nobody would give it back', () => {
    const { limiter, log, send } = virtual(1)
    send('gone', 'gone', () => false)
    send('here')
    expect(log).toEqual(['run here'])
    expect(limiter.stats()).toMatchObject({ inFlight: 1, queued: 0 })
  })

  test('runs at most its limit and lets the newest waiting request go next', () => {
    const { log, send, finish } = virtual(1)
    for (const name of ['a', 'b', 'c']) send(name)
    expect(log).toEqual(['run a'])
    finish('a')
    finish('c')
    expect(log).toEqual(['run a', 'run c', 'run b'])
  })

  test('refuses the oldest when the queue is full', () => {
    const { log, send, limiter } = virtual(1)
    for (const name of ['a', 'b', 'c', 'd']) send(name)
    expect(log).toEqual(['run a', 'refuse b'])
    expect(limiter.stats()).toEqual({ inFlight: 1, queued: 2, rejected: 1 })
  })

  test('refuses what waited 150 ms', () => {
    const { log, send, advance } = virtual(1)
    send('a')
    send('b')
    advance(100)
    send('c')
    advance(50)
    expect(log).toEqual(['run a', 'refuse b'])
    advance(100)
    expect(log).toEqual(['run a', 'refuse b', 'refuse c'])
  })

  test('gives no permit to a caller that hung up', () => {
    const { log, send, finish, limiter } = virtual(1)
    send('a')
    send('b')
    send('dead', 'dead', () => false)
    finish('a')
    expect(log).toEqual(['run a', 'run b'])
    finish('b')
    expect(limiter.stats().inFlight).toBe(0)
  })

  test('keeps a permit until every hold is released, each of them once', () => {
    const { limiter } = virtual(1)
    const holds: (() => void)[] = []
    limiter.admit({
      tenant: 'a',
      alive: () => true,
      refuse: () => undefined,
      run: (permit) => void holds.push(permit.hold(), permit.hold()),
    })
    holds[0]?.()
    holds[0]?.()
    expect(limiter.stats().inFlight).toBe(1)
    holds[1]?.()
    expect(limiter.stats().inFlight).toBe(0)
  })

  test('lets a tenant above a quarter of the permits wait only while another waits', () => {
    const { log, send, finish } = virtual(4)
    for (const name of ['n1', 'n2', 'n3', 'n4']) send(name, 'noisy')
    expect(log).toHaveLength(4)
    send('quiet', 'quiet')
    send('n5', 'noisy')
    finish('n1')
    expect(log.at(-1)).toBe('run quiet')
    finish('n2')
    expect(log.at(-1)).toBe('run n5')
  })

  test('gives background work a tenth of the permits, under full load too', () => {
    const { limiter } = virtual(20)
    expect(limiter.acquireLowPriority(16)).toBe(2)
    expect(limiter.acquireLowPriority(16)).toBe(0)
    limiter.releaseLowPriority(1)
    expect(limiter.acquireLowPriority(16)).toBe(1)
    expect(limiter.stats().inFlight).toBe(2)
    const full = virtual(10)
    for (let i = 0; i < 10; i++) full.send(`r${i}`)
    expect(full.limiter.acquireLowPriority(16)).toBe(1)
    full.finish('r0')
    full.send('late')
    expect(full.log).not.toContain('run late')
    full.limiter.releaseLowPriority(1)
    expect(full.log).toContain('run late')
  })
})

describe('the quota', () => {
  test('gives each tenant its rate and no more, and refills with time', () => {
    let time = 0
    const quota = createQuota(2, () => time)
    expect([quota.take('a'), quota.take('a'), quota.take('a')]).toEqual([true, true, false])
    expect(quota.take('b')).toBe(true)
    time = 500
    expect([quota.take('a'), quota.take('a')]).toEqual([true, false])
  })
})
