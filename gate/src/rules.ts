/** All rules, in the order in which they are told. */
import type { Rule } from './rule.ts'
import { alertRules } from './rules/alerts.ts'
import { argoRules } from './rules/argo.ts'
import { arithmeticRules } from './rules/arithmetic.ts'
import { authorizationRules } from './rules/authorization.ts'
import { gatewayRules } from './rules/gateways.ts'
import { hostRules } from './rules/hosts.ts'
import { injectionRules } from './rules/injection.ts'
import { istioctlRules } from './rules/istioctl.ts'
import { kustomizeRules } from './rules/kustomize.ts'
import { limitRules } from './rules/limits.ts'
import { literalRules } from './rules/literals.ts'
import { mutationRules } from './rules/mutation.ts'
import { networkRules } from './rules/network.ts'
import { pinRules } from './rules/pins.ts'
import { podSecurityRules } from './rules/pod-security.ts'
import { productionRules } from './rules/production.ts'
import { programRules } from './rules/programs.ts'
import { referenceRules } from './rules/references.ts'
import { replicaRules } from './rules/replicas.ts'
import { retryRules } from './rules/retries.ts'
import { routePinRules } from './rules/route-pins.ts'
import { schemaRules } from './rules/schemas.ts'
import { serviceRules } from './rules/services.ts'
import { sidecarRules } from './rules/sidecars.ts'
import { tenantRules } from './rules/tenants.ts'

export const RULES: readonly Rule[] = [
  ...kustomizeRules,
  ...schemaRules,
  ...istioctlRules,
  ...serviceRules,
  ...replicaRules,
  ...injectionRules,
  ...networkRules,
  ...authorizationRules,
  ...literalRules,
  ...pinRules,
  ...gatewayRules,
  ...limitRules,
  ...retryRules,
  ...routePinRules,
  ...hostRules,
  ...referenceRules,
  ...tenantRules,
  ...programRules,
  ...arithmeticRules,
  ...sidecarRules,
  ...alertRules,
  ...podSecurityRules,
  ...argoRules,
  ...productionRules,
  ...mutationRules,
]
