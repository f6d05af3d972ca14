/**
 * What the documents tell a reader to type, typed: each `sh` block in its order, by bash, from the project's folder. A
 * `text` block after it is what it prints: `…` in a line stands for anything, a line of its own for any lines.
 */
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import { type Ended, exec } from '../src/command.ts'
import { ROOT } from '../src/folders.ts'
import { createKubectl, KUBECONFIG } from '../src/kubectl.ts'
import { requireTools } from '../src/tools.ts'

const DOCUMENTS = ['docs/how-to.md', 'docs/troubleshooting.md']

/** A rollout is the longest that one waits for. Seconds. */
const BLOCK_WITHIN_S = 120
/** Such a block only reads, and may be typed again: configuration, logs and spans arrive in seconds, a certificate expires in 30. Milliseconds. */
const PRINTED_WITHIN_MS = 90_000
const TEST_WITHIN_MS = BLOCK_WITHIN_S * 1000 + PRINTED_WITHIN_MS

const tools = requireTools()
const kubectl = createKubectl(tools.program('kubernetes', 'kubectl'))
const PATH = [
  dirname(tools.program('kubernetes', 'kubectl')),
  dirname(tools.program('istio', 'istioctl')),
  process.env['PATH'],
].join(':')

interface Block {
  readonly title: string
  readonly script: string
  readonly printed: string | undefined
}

function blocksOf(markdown: string): readonly Block[] {
  const parts = markdown.matchAll(
    /^#+ (?<heading>[^\n]+)$|^```sh\n(?<script>.*?)^```$(?:\n\n```text\n(?<printed>.*?)^```$)?/gms,
  )
  const blocks: Block[] = []
  let heading = ''
  let number = 0
  for (const { groups = {} } of parts) {
    if (groups['heading'] !== undefined) {
      heading = groups['heading']
      number = 0
    } else {
      number += 1
      const title = `${heading}, ${number}`
      blocks.push({ title, script: groups['script'] as string, printed: groups['printed'] })
    }
  }
  if (blocks.length === 0) throw new Error('It tells the reader to type nothing.')
  return blocks
}

/** Columns are as wide as what stands in them: any space is any other. */
function patternOf(printed: string): RegExp {
  const lines = printed.trimEnd().split('\n')
  const patterns = lines.map((line) => {
    if (line === '…') return '(?:.*\n)*?'
    const escaped = line.trim().replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
    return ` *${escaped.replaceAll('…', '.*').replace(/ +/g, ' +')} *\n`
  })
  return new RegExp(`^${patterns.join('')}$`)
}

/** What the reader sees: both outputs, as they came. */
async function type(script: string): Promise<Pick<Ended, 'code' | 'stdout'>> {
  const bash = ['bash', '-euo', 'pipefail', '-c', `exec 2>&1\n${script}`]
  const { code, stdout } = await exec('timeout', ['--kill-after=5', `${BLOCK_WITHIN_S}`, ...bash], {
    cwd: ROOT,
    env: { ...process.env, KUBECONFIG, PATH },
  })
  return { code, stdout: `${stdout.trimEnd()}\n` }
}

async function typeUntilPrinted(script: string, pattern: RegExp): ReturnType<typeof type> {
  const until = performance.now() + PRINTED_WITHIN_MS
  for (;;) {
    const ended = await type(script)
    if ((ended.code === 0 && pattern.test(ended.stdout)) || performance.now() > until) return ended
    await pause(1000)
  }
}

/** What a document could leave behind, by its kind and name. */
async function resources(): Promise<Readonly<Record<string, unknown>>> {
  const workloads = 'namespaces,deployments,statefulsets,daemonsets,services,serviceaccounts'
  const istio =
    'authorizationpolicies,peerauthentications,requestauthentications,telemetries,virtualservices,destinationrules,serviceentries,sidecars,gateways.networking.istio.io,envoyfilters'
  const objects = await kubectl.list(`${workloads},${istio}`, '--all-namespaces')
  return Object.fromEntries(
    objects.map(({ kind, metadata: { namespace, name, labels }, spec }) => [
      `${kind} ${namespace ?? ''}/${name}`,
      { labels, spec },
    ]),
  )
}

describe.each(DOCUMENTS)('%s', (file) => {
  const blocks = blocksOf(readFileSync(join(ROOT, file), 'utf8'))
  let before: Readonly<Record<string, unknown>>
  beforeAll(async () => {
    before = await resources()
  })

  test.each(blocks)(
    '$title',
    async ({ script, printed }) => {
      if (printed === undefined) {
        const { code, stdout } = await type(script)
        expect(`${stdout}ended with ${code}`).toMatch(/ended with 0$/)
      } else {
        const pattern = patternOf(printed)
        const ended = await typeUntilPrinted(script, pattern)
        expect(ended).toEqual({ code: 0, stdout: expect.stringMatching(pattern) })
      }
    },
    TEST_WITHIN_MS,
  )

  test('takes away again all that it made and changed', async () => {
    expect(await resources()).toEqual(before)
  })
})
