/** Starts the card processor and stops it on SIGTERM or SIGINT. */
import { buildProcessor, type Processor } from './app.ts'
import { type Config, readConfig, StartError } from './config.ts'

try {
  const config = readConfig(process.env)
  const processor = await buildProcessor({
    dataDir: config.DATA_DIR,
    seed: config.SEED,
    slowMs: config.SLOW_MS,
    tls: config.tls,
    pid: process.pid,
    isRunning,
    logger: { level: 'info' },
  })
  await listen(processor, config)
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.once(signal, () => {
      void stop(processor)
    })
} catch (error) {
  if (!(error instanceof StartError)) throw error
  console.error(error.message)
  process.exitCode = 1
}

async function listen({ server, close }: Processor, { HOST, PORT }: Config): Promise<void> {
  try {
    await server.listen({ host: HOST, port: PORT })
  } catch (cause) {
    await close()
    throw new StartError(startError(cause as NodeJS.ErrnoException, HOST, PORT), { cause })
  }
}

function startError({ code, message }: NodeJS.ErrnoException, host: string, port: number): string {
  if (code === 'EADDRINUSE')
    return `Port ${port} on ${host} is taken; stop what listens there or set PORT to another.`
  if (code === 'EACCES') return `Port ${port} needs more rights; set PORT to one above 1023.`
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
    return `${host} is no address of this machine; set HOST to one that is, such as 127.0.0.1.`
  return message
}

async function stop({ server, close }: Processor): Promise<void> {
  await close()
  server.log.info('stopped')
  process.exit(0)
}

/** Signal 0 only asks; another user's process answers EPERM. */
function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
