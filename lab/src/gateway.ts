/** A caller at the lab's gateway: TLS to orders.example.com, a token, a key. */
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { type Lab, STATE_DIR } from './lab.ts'
import { DOORS } from './ports.ts'

export const GATEWAY_HOST = 'orders.example.com'
/** Signed the gateway's certificate; for curl --cacert. */
export const GATEWAY_CA = join(STATE_DIR, 'gateway-ca.crt')

export interface GatewayAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>
  readonly text: string
}

export interface GatewayRequest {
  readonly method?: 'GET' | 'POST'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: object
}

/** 15 s: the gateway answers by 12. */
const ANSWER_WITHIN_MS = 15_000

/** @throws where no answer came. */
export function askGateway(
  lab: Lab,
  { method = 'GET', path, headers = {}, body }: GatewayRequest,
): Promise<GatewayAnswer> {
  return new Promise((resolve, reject) => {
    const asking = request(
      {
        host: '127.0.0.1',
        port: DOORS.gateway.hostPort + lab.portOffset,
        servername: GATEWAY_HOST,
        ca: readFileSync(GATEWAY_CA),
        method,
        path,
        timeout: ANSWER_WITHIN_MS,
        headers: {
          host: GATEWAY_HOST,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
      },
      (answer) => {
        const chunks: Buffer[] = []
        answer.on('data', (chunk: Buffer) => chunks.push(chunk))
        answer.on('error', reject)
        answer.on('end', () =>
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            text: Buffer.concat(chunks).toString('utf8'),
          }),
        )
      },
    )
    asking.on('timeout', () =>
      asking.destroy(new Error(`no answer in ${ANSWER_WITHIN_MS / 1000} s`)),
    )
    asking.on('error', reject)
    asking.end(body === undefined ? undefined : JSON.stringify(body))
  })
}
