/** G6: names, versions, statistics. */
import { type BrokenCopy, drop, set, unset } from './edits.ts'
import { ISTIO, JWT, OUR_TELEMETRY } from './names.ts'

const MESH = '/spec/values/meshConfig'

export const literalCopies: readonly BrokenCopy[] = [
  {
    mistake: 'a statistic that an alert reads is not exposed',
    gate: 'G6',
    breaks: [unset(ISTIO, `${MESH}/defaultConfig/proxyStatsMatcher/inclusionRegexps/0`)],
    says: /proxyStatsMatcher has nothing for cluster\.outbound\|8080\|\|payment-service;\.outlier_detection/,
  },
  {
    mistake: 'a CNI plugin of another version',
    gate: 'G6',
    breaks: [set('IstioCNI default', '/spec/version', 'v1.30.3')],
    says: /IstioCNI default: spec\.version is "v1\.30\.3", not/,
  },
  {
    mistake: 'a resource with another name',
    gate: 'G6',
    breaks: [drop(OUR_TELEMETRY)],
    says: /Telemetry order-management\/order-management-telemetry is not there/,
  },
  {
    mistake: 'a line of Istio that nobody tried',
    gate: 'G6',
    breaks: [set(ISTIO, '/spec/version', 'v1.32.0')],
    says: /spec\.version is v1\.32\.0, the lab runs 1\.31/,
  },
  {
    mistake: 'nobody asks for a token',
    gate: 'G6',
    breaks: [drop(JWT)],
    says: /RequestAuthentication istio-ingress\/orders-jwt is not there/,
  },
]
