/** Every known way to get the manifests wrong: what only needs the files, and what a program finds. */
import { alertCopies, alertToolCopies } from './alerts.ts'
import { argoCopies } from './argo.ts'
import { arithmeticCopies } from './arithmetic.ts'
import { authorizationCopies } from './authorization.ts'
import type { BrokenCopy, ToolBrokenCopy } from './edits.ts'
import { gatewayCopies } from './gateways.ts'
import { hostCopies } from './hosts.ts'
import { injectionCopies } from './injection.ts'
import { istioctlToolCopies } from './istioctl.ts'
import { kustomizeCopies, kustomizeToolCopies } from './kustomize.ts'
import { limitCopies } from './limits.ts'
import { literalCopies } from './literals.ts'
import { mutationCopies } from './mutation.ts'
import { networkCopies } from './network.ts'
import { pinCopies } from './pins.ts'
import { podSecurityCopies, podSecurityToolCopies } from './pod-security.ts'
import { productionCopies } from './production.ts'
import { referenceCopies } from './references.ts'
import { replicaCopies } from './replicas.ts'
import { retryCopies } from './retries.ts'
import { routePinCopies } from './route-pins.ts'
import { schemaCopies, schemaToolCopies } from './schemas.ts'
import { serviceCopies } from './services.ts'
import { sidecarCopies } from './sidecars.ts'

export const BROKEN_COPIES: readonly BrokenCopy[] = [
  ...kustomizeCopies,
  ...schemaCopies,
  ...serviceCopies,
  ...replicaCopies,
  ...injectionCopies,
  ...networkCopies,
  ...authorizationCopies,
  ...literalCopies,
  ...pinCopies,
  ...gatewayCopies,
  ...limitCopies,
  ...retryCopies,
  ...routePinCopies,
  ...hostCopies,
  ...referenceCopies,
  ...arithmeticCopies,
  ...sidecarCopies,
  ...alertCopies,
  ...podSecurityCopies,
  ...argoCopies,
  ...productionCopies,
  ...mutationCopies,
]

export const TOOL_BROKEN_COPIES: readonly ToolBrokenCopy[] = [
  ...kustomizeToolCopies,
  ...schemaToolCopies,
  ...istioctlToolCopies,
  ...alertToolCopies,
  ...podSecurityToolCopies,
]
