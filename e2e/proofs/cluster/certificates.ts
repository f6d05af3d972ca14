/** The certificate that a sidecar shows. */
import type { Envoy } from './envoy.ts'

export interface Shown {
  readonly serial: string
  readonly lifetimeS: number
}

export async function certificateOf(envoy: Envoy): Promise<Shown> {
  const { certificates } = JSON.parse(await envoy.get('/certs')) as {
    certificates: readonly {
      cert_chain: readonly { serial_number: string; valid_from: string; expiration_time: string }[]
    }[]
  }
  const [leaf] = certificates.flatMap(({ cert_chain: chain }) => chain.slice(0, 1))
  if (leaf === undefined) throw new Error(`${envoy.pod} shows no certificate`)
  const lifetimeMs = Date.parse(leaf.expiration_time) - Date.parse(leaf.valid_from)
  return { serial: leaf.serial_number, lifetimeS: Math.round(lifetimeMs / 1000) }
}
