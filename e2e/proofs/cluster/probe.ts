/** A pod of any identity that asks and answers: e2e/probe/probe.mjs. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { Exec } from '@kubernetes/client-node'
import { ROOT } from '@oms/lab/folders'
import { type Api, type KubernetesObject, pathOf, until } from './api.ts'
import { type Envoy, openEnvoy } from './envoy.ts'
import { isReady, READY_WITHIN_MS } from './pods.ts'

const PROGRAM = readFileSync(join(ROOT, 'e2e/probe/probe.mjs'), 'utf8')
export const PROBE_LABEL = 'e2e-probe'

export interface ProbeOptions {
  readonly namespace: string
  /** Its ServiceAccount; default: `default`. */
  readonly account?: string
  readonly injected?: boolean
  readonly annotations?: Readonly<Record<string, string>>
  readonly labels?: Readonly<Record<string, string>>
  /** Made once, the moment its program begins; the log has a line `called at start`. */
  readonly callAtStart?: Call
}

export interface Call {
  readonly url: string
  readonly method?: string
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: unknown
  readonly timeoutMs?: number
  /** The caller hangs up. */
  readonly abortAfterMs?: number
  /** So many of it. */
  readonly repeat?: number
  /** A connection of its own. */
  readonly fresh?: boolean
  readonly servername?: string
  readonly insecure?: boolean
  /** Bytes of the answer that are kept; default: 16 KiB. */
  readonly textLimit?: number
}

export interface Answer {
  /** 0 where none came; see `error`. */
  readonly status: number
  readonly ms: number
  readonly text: string
  readonly size: number
  readonly headers: Readonly<Record<string, string>>
  readonly error?: string
  /** SHA-256 fingerprint of the server's. */
  readonly certificate?: string
}

export interface Pace {
  /** How many at once; default: one after the other. */
  readonly workers?: number
  /** In place of workers: one every so many milliseconds, whatever became of the others. */
  readonly everyMs?: number
  /** Over which the workers begin. */
  readonly rampMs?: number
  /** Made by the last calls that gave this name; default: new ones. */
  readonly connections?: string
}

export interface Dialled {
  readonly connected: boolean
  /** Received before anything was closed. */
  readonly bytes: number
  /** The first of them. */
  readonly text: string
  readonly error?: string
}

export interface Dial {
  readonly host: string
  readonly port: number
  /** What is sent first. */
  readonly hello?: string
  readonly timeoutMs?: number
}

export interface Probe {
  readonly pod: KubernetesObject
  readonly name: string
  readonly ip: string
  call(call: Call): Promise<Answer>
  calls(calls: readonly Call[], pace?: Pace): Promise<readonly Answer[]>
  dial(dial: Dial): Promise<Dialled>
  /** Its own sidecar. @throws Error where it has none. */
  envoy(): Promise<Envoy>
  /** Closes the connections that calls have named. */
  release(): Promise<void>
  remove(): Promise<void>
}

/** A name for the next probe. */
let made = 0

export async function createProbe(api: Api, image: string, options: ProbeOptions): Promise<Probe> {
  const object = podFor(image, options)
  await ensureProgram(api, options.namespace)
  const pod = await untilReady(api, object)
  const session = await openSession(api, pod)
  let opened: Promise<Envoy> | undefined
  const envoy = (): Promise<Envoy> => {
    opened ??= openEnvoy(api, pod)
    return opened
  }
  let keeps = false
  const calls = async (all: readonly Call[], pace: Pace = {}): Promise<readonly Answer[]> => {
    keeps ||= pace.connections !== undefined
    return ((await session.ask({ calls: all, ...pace })) as { answers: readonly Answer[] }).answers
  }
  return {
    pod,
    name: pod.metadata.name,
    ip: pod['status'].podIP,
    calls,
    async call(call) {
      return (await calls([call]))[0] as Answer
    },
    async dial({ hello, ...dial }) {
      const sent =
        hello === undefined ? {} : { hello: Buffer.from(hello, 'latin1').toString('base64') }
      return ((await session.ask({ dial: { ...dial, ...sent } })) as { answer: Dialled }).answer
    },
    envoy,
    async release() {
      if (!keeps) return
      keeps = false
      // Those of another name close the former.
      await session.ask({ calls: [], connections: '' })
    },
    async remove() {
      keeps = false
      session.close()
      await (await opened?.catch(() => undefined))?.close()
      await api.remove(pathOf(pod), 0)
    },
  }
}

async function untilReady(api: Api, object: KubernetesObject): Promise<KubernetesObject> {
  await api.create(object)
  const path = pathOf(object)
  let last: KubernetesObject | undefined
  return until(`pod ${object.metadata.name} ready`, READY_WITHIN_MS, async () => {
    last = await api.read(path)
    return last !== undefined && isReady(last) ? last : undefined
  }).catch((error: Error) => {
    throw new Error(`${error.message}${last === undefined ? '' : `: ${waitingFor(last)}`}`)
  })
}

/** As `probe: ContainerCreating`. */
function waitingFor({ status }: KubernetesObject): string {
  const containers = [status.initContainerStatuses ?? [], status.containerStatuses ?? []].flat()
  return containers
    .filter(({ ready }) => !ready)
    .map(
      ({ name, state: { waiting } }) =>
        `${name}: ${waiting?.message ?? waiting?.reason ?? 'not ready'}`,
    )
    .join(', ')
}

const PROGRAM_MAP = 'oms-proofs-probe'

async function ensureProgram(api: Api, namespace: string): Promise<void> {
  await api.apply({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: PROGRAM_MAP, namespace, labels: { app: PROBE_LABEL } },
    data: { 'probe.mjs': PROGRAM },
  })
}

function podFor(
  image: string,
  {
    namespace,
    account = 'default',
    injected = true,
    annotations = {},
    labels = {},
    callAtStart,
  }: ProbeOptions,
): KubernetesObject {
  made += 1
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `probe-${process.pid.toString(36)}-${Date.now().toString(36)}-${made}`,
      namespace,
      labels: {
        app: PROBE_LABEL,
        'sidecar.istio.io/inject': String(injected),
        ...labels,
      },
      // Probes of the kubelet reach the proxy's agent, whatever the mesh demands.
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    },
    spec: {
      serviceAccountName: account,
      automountServiceAccountToken: false,
      restartPolicy: 'Never',
      terminationGracePeriodSeconds: 1,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: 65_532,
        seccompProfile: { type: 'RuntimeDefault' },
      },
      // As card-processor's component gives it to payment-service: the name must resolve, nobody dials the address.
      hostAliases: [{ ip: '192.0.2.1', hostnames: ['psp.example.com'] }],
      containers: [
        {
          name: 'probe',
          image,
          args: ['/probe/probe.mjs'],
          env: [
            { name: 'POD_NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
            ...(callAtStart === undefined
              ? []
              : [{ name: 'CALL_AT_START', value: JSON.stringify(callAtStart) }]),
          ],
          ports: [{ name: 'http', containerPort: 8080 }],
          resources: { requests: { cpu: '10m', memory: '32Mi' }, limits: { memory: '256Mi' } },
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          },
          volumeMounts: [{ name: 'program', mountPath: '/probe', readOnly: true }],
        },
      ],
      volumes: [{ name: 'program', configMap: { name: PROGRAM_MAP } }],
    },
  }
}

interface Session {
  ask(job: object): Promise<unknown>
  close(): void
}

/** A stall is an error of the proof: the longest stimulus takes less. */
const JOB_WITHIN_MS = 90_000

async function openSession(api: Api, pod: KubernetesObject): Promise<Session> {
  const { name, namespace } = pod.metadata
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()]
  const waiting = new Map<number, { resolve(answer: unknown): void; reject(error: Error): void }>()
  let said = ''
  let next = 0
  const fail = (message: string): void => {
    for (const { reject } of waiting.values()) reject(new Error(`probe ${name}: ${message}`))
    waiting.clear()
  }
  stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString('utf8')
    const lines = said.split('\n')
    said = lines.pop() ?? ''
    for (const line of lines) {
      const { id, ...answer } = JSON.parse(line)
      waiting.get(id)?.resolve(answer)
      waiting.delete(id)
    }
  })
  let complaint = ''
  stderr.on('data', (chunk: Buffer) => {
    complaint += chunk.toString('utf8')
  })
  const socket = await new Exec(api.config).exec(
    namespace as string,
    name,
    'probe',
    ['/nodejs/bin/node', '/probe/probe.mjs', 'session'],
    stdout,
    stderr,
    stdin,
    false,
    () => fail(`its session has ended. ${complaint}`),
  )
  socket.on('close', () => fail(`the connection to its session was closed. ${complaint}`))
  return {
    ask(job) {
      next += 1
      const id = next
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(id)
          reject(new Error(`probe ${name}: no answer in ${JOB_WITHIN_MS / 1000} s`))
        }, JOB_WITHIN_MS)
        const done =
          <T>(settle: (value: T) => void) =>
          (value: T): void => {
            clearTimeout(timer)
            settle(value)
          }
        waiting.set(id, { resolve: done(resolve), reject: done(reject) })
        stdin.write(`${JSON.stringify({ id, ...job })}\n`)
      })
    },
    close() {
      socket.close()
    },
  }
}
