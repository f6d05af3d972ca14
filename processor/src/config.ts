/** Every variable: default, form, meaning; all complaints in one message. */
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'

export interface Config {
  /** Address to listen on. */
  readonly HOST: string
  /** 0 takes any free port; the log names it. */
  readonly PORT: number
  /** Folder of the ledger; made when it is missing. */
  readonly DATA_DIR: string
  /** Ids follow from it and the position in the ledger: the same calls in the same order give the same ids. */
  readonly SEED: string
  /** How long a pm_slow charge takes. */
  readonly SLOW_MS: number
  /** PEM texts; https when present. */
  readonly tls: Tls | undefined
}

export interface Tls {
  readonly cert: string
  readonly key: string
}

type Environment = Readonly<Record<string, string | undefined>>

/** An error whose message is a whole sentence for the person at the terminal. */
export class StartError extends Error {}

/** @throws StartError naming every missing or malformed variable. An empty variable counts as absent. */
export function readConfig(env: Environment): Config {
  const complaints: string[] = []
  const given = (name: string): string | undefined => env[name] || undefined

  function whole(name: string, fallback: number, max: number): number {
    const text = given(name) ?? String(fallback)
    if (!/^\d{1,9}$/.test(text) || Number(text) > max)
      complaints.push(`${name} must be a whole number from 0 to ${max}`)
    return Number(text)
  }

  const dataDir = given('DATA_DIR')
  if (dataDir === undefined) complaints.push('DATA_DIR is missing: the folder of the ledger')
  const config = {
    HOST: given('HOST') ?? '127.0.0.1',
    PORT: whole('PORT', 8083, 65_535),
    DATA_DIR: dataDir ?? '',
    SEED: given('SEED') ?? 'demo',
    SLOW_MS: whole('SLOW_MS', 3000, 600_000),
    tls: readTls(given('TLS_CERT_FILE'), given('TLS_KEY_FILE'), complaints),
  }
  if (complaints.length > 0)
    throw new StartError(
      `The configuration is not complete. Set these environment variables and start again:\n${complaints.map((each) => `  ${each}`).join('\n')}`,
    )
  return config
}

function readTls(
  certFile: string | undefined,
  keyFile: string | undefined,
  complaints: string[],
): Tls | undefined {
  if (certFile === undefined && keyFile === undefined) return undefined
  if (certFile === undefined || keyFile === undefined) {
    const [missing, present] =
      certFile === undefined ? ['TLS_CERT_FILE', 'TLS_KEY_FILE'] : ['TLS_KEY_FILE', 'TLS_CERT_FILE']
    complaints.push(`${missing} is missing: ${present} is set, https needs both, http none`)
    return undefined
  }
  const read = (name: string, path: string): string => {
    try {
      return readFileSync(path, 'utf8')
    } catch {
      complaints.push(`${name} names ${path}, which cannot be read; check path and mode`)
      return ''
    }
  }
  const tls = { cert: read('TLS_CERT_FILE', certFile), key: read('TLS_KEY_FILE', keyFile) }
  if (tls.cert === '' || tls.key === '') return undefined
  try {
    createSecureContext(tls)
  } catch (error) {
    complaints.push(
      `TLS_CERT_FILE and TLS_KEY_FILE must be a PEM certificate and its key (${(error as Error).message})`,
    )
  }
  return tls
}
