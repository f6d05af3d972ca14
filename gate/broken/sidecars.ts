/** G9. */
import { type BrokenCopy, set, unset } from './edits.ts'
import { SIDECAR } from './names.ts'

const HOSTS = '/spec/egress/0/hosts'
const TENANT_SIDECAR = 'Sidecar tenant-a/default'

export const sidecarCopies: readonly BrokenCopy[] = [
  {
    mistake: 'a Sidecar that does not know Jaeger',
    gate: 'G9',
    breaks: [unset(SIDECAR, `${HOSTS}/2`)],
    says: /order-management\/default: spec\.egress\[\]\.hosts lacks jaeger\/\*: the provider of traces/,
  },
  {
    mistake: 'a Sidecar without DNS over TCP',
    gate: 'G9',
    breaks: [unset(SIDECAR, `${HOSTS}/3`)],
    says: /lacks kube-system\/kube-dns/,
  },
  {
    mistake: 'a Sidecar without the way out',
    gate: 'G9',
    breaks: [unset(SIDECAR, `${HOSTS}/1`)],
    says: /lacks istio-egress\/\*: the way to the card processor/,
  },
  {
    mistake: 'a tenant’s Sidecar that does not know Jaeger',
    gate: 'G9',
    breaks: [unset(TENANT_SIDECAR, `${HOSTS}/1`)],
    says: /tenant-a\/default: spec\.egress\[\]\.hosts lacks jaeger\/\*/,
  },
  {
    mistake: 'a tenant that sees the others',
    gate: 'G9',
    breaks: [set(TENANT_SIDECAR, `${HOSTS}/-`, '*/*')],
    says: /tenant-a\/default: spec\.egress\[\]\.hosts has \*\/\*/,
  },
  {
    mistake: 'a Sidecar that lets everything out',
    gate: 'G9',
    breaks: [set(SIDECAR, '/spec/outboundTrafficPolicy', { mode: 'ALLOW_ANY' })],
    says: /order-management\/default: spec\.outboundTrafficPolicy is there/,
  },
]
