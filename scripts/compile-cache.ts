/**
 * Starts a service once, up to its first answers, so that Node keeps what it compiled: a start from that cache is a fifth
 * shorter (docs/decisions/0015-bundles-bring-their-compile-cache.md). Node asks for it by `NODE_COMPILE_CACHE`, and takes
 * it for the same bundle at the same path, the same Node, kind of processor and user; else it starts without.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { dirname, join, resolve } from 'node:path'

/** 20 s: a start takes a third of a second, and builds share their cores. */
const WITHIN_MS = 20_000

/** What a service must be told; nothing of it is there, and no start waits for it. */
const NOWHERE = 'http://127.0.0.1:1'
const ENV = {
  DEPLOYMENT: 'local',
  DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nothing',
  DRAIN_DELAY_MS: '0',
  ORDER_SERVICE_URL: NOWHERE,
  PAYMENT_SERVICE_URL: NOWHERE,
  INVENTORY_SERVICE_URL: NOWHERE,
  PSP_MODE: 'simulated',
}

/** Beside the bundle. */
export function compileCacheOf(bundle: string): string {
  return join(dirname(bundle), 'compile-cache')
}

/** @param user who will run it, where that is not the one who builds; needs root. */
export async function makeCompileCache(bundle: string, user?: number): Promise<void> {
  const cache = compileCacheOf(bundle)
  rmSync(cache, { recursive: true, force: true })
  mkdirSync(cache)
  if (user !== undefined) chownSync(cache, user, user)
  const port = await freePort()
  const service = spawn(process.execPath, ['--disable-proto=delete', bundle], {
    env: { ...ENV, PORT: String(port), NODE_COMPILE_CACHE: cache },
    stdio: ['ignore', 'ignore', 'inherit'],
    ...(user === undefined ? {} : { uid: user, gid: user }),
  })
  const exit = once(service, 'exit')
  try {
    const origin = `http://127.0.0.1:${port}`
    await untilHealthy(`${origin}/health`, () => service.exitCode === null)
    // Whatever it answers: what a caller asks for is compiled by then.
    await fetch(origin)
  } finally {
    service.kill()
    await exit
  }
  makeReadable(cache)
}

async function untilHealthy(url: string, isAlive: () => boolean): Promise<void> {
  const until = performance.now() + WITHIN_MS
  while (isAlive() && performance.now() < until) {
    const answered = await fetch(url).then(
      ({ ok }) => ok,
      () => false,
    )
    if (answered) return
    await new Promise((done) => setTimeout(done, 20))
  }
  throw new Error(`There is no compile cache: the bundle did not answer on ${url}.`)
}

/** Node keeps it to its owner, and an image's files are root's. */
function makeReadable(path: string): void {
  chmodSync(path, 0o755)
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) makeReadable(join(path, entry.name))
    else chmodSync(join(path, entry.name), 0o644)
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

if (import.meta.main) {
  const [bundle = 'dist/main.mjs', user] = process.argv.slice(2)
  await makeCompileCache(resolve(bundle), user === undefined ? undefined : Number(user))
}
