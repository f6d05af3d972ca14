/** Every known way to get the manifests wrong: what only needs the files, and what a program finds. */
import { arithmeticCopies } from './arithmetic.ts'
import { authorizationCopies } from './authorization.ts'
import type { BrokenCopy, ToolBrokenCopy } from './edits.ts'
import { istioctlToolCopies } from './istioctl.ts'
import { kustomizeCopies, kustomizeToolCopies } from './kustomize.ts'
import { literalCopies } from './literals.ts'
import { operationCopies, operationToolCopies } from './operations.ts'
import { productionCopies } from './production.ts'
import { referenceCopies } from './references.ts'
import { schemaCopies, schemaToolCopies } from './schemas.ts'
import { serviceCopies } from './services.ts'

export const BROKEN_COPIES: readonly BrokenCopy[] = [
  ...kustomizeCopies,
  ...schemaCopies,
  ...serviceCopies,
  ...authorizationCopies,
  ...literalCopies,
  ...referenceCopies,
  ...arithmeticCopies,
  ...operationCopies,
  ...productionCopies,
]

export const TOOL_BROKEN_COPIES: readonly ToolBrokenCopy[] = [
  ...kustomizeToolCopies,
  ...schemaToolCopies,
  ...istioctlToolCopies,
  ...operationToolCopies,
]
