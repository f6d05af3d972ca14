/** All rules, in the order in which they are told. */
import type { Rule } from './rule.ts'
import { alertRules } from './rules/alerts.ts'
import { argoRules } from './rules/argo.ts'
import { arithmeticRules } from './rules/arithmetic.ts'
import { authorizationRules } from './rules/authorization.ts'
import { istioctlRules } from './rules/istioctl.ts'
import { kustomizeRules } from './rules/kustomize.ts'
import { literalRules } from './rules/literals.ts'
import { networkRules } from './rules/network.ts'
import { podSecurityRules } from './rules/pod-security.ts'
import { productionRules } from './rules/production.ts'
import { referenceRules } from './rules/references.ts'
import { schemaRules } from './rules/schemas.ts'
import { serviceRules } from './rules/services.ts'
import { sidecarRules } from './rules/sidecars.ts'

export const RULES: readonly Rule[] = [
  ...kustomizeRules,
  ...schemaRules,
  ...istioctlRules,
  ...serviceRules,
  ...networkRules,
  ...authorizationRules,
  ...literalRules,
  ...referenceRules,
  ...arithmeticRules,
  ...sidecarRules,
  ...alertRules,
  ...podSecurityRules,
  ...argoRules,
  ...productionRules,
]
