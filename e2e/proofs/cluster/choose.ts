/** Which cluster: the one named, else the current context, else the lab. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { KubeConfig } from '@kubernetes/client-node'
import { KUBECONFIG as LAB_KUBECONFIG } from '@oms/lab/kubectl'
import { STATE_DIR as LAB_DIR, runningLab } from '@oms/lab/lab'
import { ProofsError } from './preflight.ts'
import { STATE_DIR, type Target } from './target.ts'

/** Of the lab's own kubeconfig. */
const LAB_CONTEXT = 'order-management-lab'

export interface Choice {
  readonly context?: string | undefined
  readonly tokenKey?: string | undefined
}

/** @throws ProofsError where there is none of that name, or none at all. */
export function chooseTarget({ context, tokenKey }: Choice): Target {
  const journalOf = (name: string): string =>
    join(STATE_DIR, `changes-${name.replace(/[^\w.-]/g, '_')}.json`)
  if (tokenKey !== undefined && !existsSync(tokenKey))
    throw new ProofsError(`There is no file ${tokenKey} (--token-key).`)
  const key = tokenKey === undefined ? {} : { tokenKey }
  const config = userConfig()
  const contexts = config.getContexts().map(({ name }) => name)
  const lab = {
    name: 'the lab',
    kubeconfig: LAB_KUBECONFIG,
    lab: LAB_DIR,
    journal: journalOf('lab'),
    ...key,
  }
  const isUp = runningLab() !== undefined
  if (context === LAB_CONTEXT || context === 'lab') {
    if (!isUp) throw new ProofsError('The lab is not up. Bring it up: pnpm lab up')
    return lab
  }
  const wanted = context ?? config.getCurrentContext()
  if (context !== undefined && !contexts.includes(context))
    throw new ProofsError(
      `There is no context ${context} in your kubeconfig; there are ${[...contexts, ...(isUp ? [LAB_CONTEXT] : [])].join(', ') || 'none'}.`,
    )
  if (wanted && contexts.includes(wanted)) {
    if (wanted === LAB_CONTEXT && isUp) return lab
    return { name: `context ${wanted}`, context: wanted, journal: journalOf(wanted), ...key }
  }
  if (isUp) return lab
  throw new ProofsError(
    'There is no cluster: no current context in your kubeconfig, and the lab is not up. Bring up the lab: pnpm lab up; or choose one: pnpm e2e --context NAME.',
  )
}

/** What kubectl would use; where there is none the library invents one of its own. */
function userConfig(): KubeConfig {
  const config = new KubeConfig()
  const named = (process.env['KUBECONFIG'] ?? '').split(':').filter((file) => existsSync(file))
  const usual = join(process.env['HOME'] ?? '', '.kube/config')
  if (named.length > 0) config.loadFromFile(named[0] as string)
  else if (existsSync(usual)) config.loadFromFile(usual)
  return config
}
