/** G14: fields that nobody guards, and names of what is not there. */
import { type BrokenCopy, put, set, unset } from './edits.ts'
import { CANARY, PAYMENT_RETRY, SIDECAR } from './names.ts'

const PROOFS = 'e2e/proofs/broken-copy.test.ts'
const MUTANTS_OF_SIDECAR = 'e2e/mutants/sidecar.yaml'

function mutant(fields: string): string {
  return `- {id: broken-copy, target: ${SIDECAR}, ${fields}}\n`
}

/** Its own, among all others. */
const GOOD = "proof('broken.copy', {}, async () => {})\n"

export const mutationCopies: readonly BrokenCopy[] = [
  {
    mistake: 'a field that nobody guards',
    gate: 'G14',
    breaks: [set(PAYMENT_RETRY, '/spec/http/0/retries/retryRemoteLocalities', true)],
    says: /payment-service-retry \/spec\/http\/0\/retries\/retryRemoteLocalities has no killer/,
  },
  {
    mistake: 'a line about a field that is gone',
    gate: 'G14',
    breaks: [unset(CANARY, '/spec/http/1/timeout')],
    says: /gate\.yaml: VirtualService .*order-service-canary \/spec\/http\/1\/timeout is no leaf/,
  },
  {
    mistake: 'a field that is called unproven and is not',
    gate: 'G14',
    breaks: [],
    breaksEvidence: [
      put(
        'e2e/mutants/unproven.yaml',
        `${SIDECAR}: {/spec/inboundConnectionPool/tcp/maxConnections: nothing here has so many}\n`,
      ),
    ],
    says: /unproven\.yaml: Sidecar .* \/spec\/inboundConnectionPool\/tcp\/maxConnections is killed/,
  },
  {
    mistake: 'a field that is called unproven without a reason',
    gate: 'G14',
    breaks: [],
    breaksEvidence: [put('e2e/mutants/unproven.yaml', `${SIDECAR}: {/spec/egress: later}\n`)],
    says: /unproven\.yaml: .* must NOT have fewer than 20 characters/,
  },
  {
    mistake: 'a mutant of what is not there',
    gate: 'G14',
    breaks: [],
    breaksEvidence: [
      put(
        MUTANTS_OF_SIDECAR,
        mutant('patch: [{op: remove, path: /spec/ingress}], via: live, kills: [broken.copy]'),
      ),
    ],
    says: /the mutant broken-copy: remove \/spec\/ingress: it leads nowhere/,
  },
  {
    mistake: 'a mutant that turns no proof red',
    gate: 'G14',
    breaks: [],
    breaksEvidence: [
      put(PROOFS, GOOD),
      put(MUTANTS_OF_SIDECAR, mutant('delete: true, via: live, kills: [broken.cpy]')),
    ],
    says: /the mutant broken-copy names broken\.cpy, which is no proof/,
  },
  {
    mistake: 'a proof that no mutant turns red',
    gate: 'G14',
    breaks: [],
    breaksEvidence: [put(PROOFS, GOOD)],
    says: /the proof broken\.copy has no mutant and no line in/,
  },
  {
    mistake: 'a promise whose proof is not there',
    gate: 'G14',
    breaks: [],
    breaksEvidence: [
      put(PROOFS, GOOD),
      put('docs/mesh.md', '<!-- proofs -->\n| `broken.promise` |\n<!-- /proofs -->\n'),
    ],
    says: /docs\/mesh\.md names broken\.promise, which is no proof/,
  },
]
