/** Programs in a container of the product: every image has Node, and nothing else. */
import { PassThrough } from 'node:stream'
import { Exec } from '@kubernetes/client-node'
import type { Api, KubernetesObject } from './api.ts'

const READ = "process.stdout.write(require('fs').readFileSync(process.argv[1], 'utf8'))"

/** @throws Error where it cannot be read. */
export async function readContainerFile(
  api: Api,
  { metadata: { name, namespace } }: KubernetesObject,
  container: string,
  path: string,
): Promise<string> {
  const [out, err] = [new PassThrough(), new PassThrough()]
  let read = ''
  let complaint = ''
  out.on('data', (chunk: Buffer) => (read += chunk.toString('utf8')))
  err.on('data', (chunk: Buffer) => (complaint += chunk.toString('utf8')))
  const command = ['/nodejs/bin/node', '-e', READ, path]
  await new Promise<void>((resolve, reject) => {
    new Exec(api.config)
      .exec(namespace as string, name, container, command, out, err, null, false, ({ status }) => {
        if (status === 'Success') resolve()
        else reject(new Error(`${name}: ${path} cannot be read: ${complaint}`))
      })
      .catch(reject)
  })
  return read
}
