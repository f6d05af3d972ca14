/** The node's certificates, made anew at every start: nothing of a lab outlives it. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type CertificateRequest, createAuthority, issueCertificate } from '../certificates.ts'
import { run } from '../command.ts'
import { NETWORK } from './layout.ts'

const API_SERVER_NAMES = [
  'DNS:kubernetes',
  'DNS:kubernetes.default',
  'DNS:kubernetes.default.svc',
  'DNS:kubernetes.default.svc.cluster.local',
  'DNS:localhost',
  'IP:127.0.0.1',
  `IP:${NETWORK.apiService}`,
  `IP:${NETWORK.nodeIp}`,
]
const CLIENT = 'extendedKeyUsage=clientAuth'

const CERTIFICATES: readonly CertificateRequest[] = [
  {
    name: 'apiserver',
    subject: '/CN=kube-apiserver',
    extension: `subjectAltName=${API_SERVER_NAMES.join(',')}`,
  },
  { name: 'admin', subject: '/O=system:masters/CN=admin', extension: CLIENT },
  { name: 'kubelet', subject: '/O=system:nodes/CN=system:node:lab', extension: CLIENT },
  { name: 'front-proxy', subject: '/CN=front-proxy', extension: CLIENT },
]

/** Writes those, `ca.*`, and `sa.*`, which signs the tokens of service accounts. */
export async function createPki(dir: string): Promise<void> {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  await Promise.all([createAuthority(dir, 'lab-ca'), createTokenKey(dir)])
  await Promise.all(CERTIFICATES.map((each) => issueCertificate(dir, each)))
}

async function createTokenKey(dir: string): Promise<void> {
  const [key, pub] = [join(dir, 'sa.key'), join(dir, 'sa.pub')]
  await run('openssl', ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', key])
  await run('openssl', ['ec', '-in', key, '-pubout', '-out', pub])
}
