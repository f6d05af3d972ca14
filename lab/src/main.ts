/** `pnpm lab COMMAND`: the lab at the terminal. Without a command: the lab, the product on it, and one order. */
import { parseArgs } from 'node:util'
import { apply } from './apply.ts'
import { audit } from './audit.ts'
import { hand, LabError } from './command.ts'
import { deploy } from './deploy.ts'
import { KUBECONFIG } from './kubectl.ts'
import { insideOf, requireLab, runningLab, STATE_DIR, stopLab } from './lab.ts'
import { logs } from './logs.ts'
import { INSIDE } from './node/layout.ts'
import { invite, placeTracedOrder, tellOrder } from './order.ts'
import { say } from './progress.ts'
import { tellStatus } from './status.ts'
import { signToken } from './token.ts'
import { requireTools } from './tools.ts'
import { build, up } from './up.ts'

const USAGE = `npm run lab                 the lab, the product on it, one order and its trace
pnpm lab build [--install]  builds the tools and images; --install installs missing Debian packages
pnpm lab up [--port-offset N] [--install]
                            starts the lab with the product on it; N moves its ports on the host
pnpm lab order              one more order, and its path through the mesh
pnpm lab audit [FLAGS]      money and stock, checked inside (flags: pnpm lab audit --help)
pnpm lab status             what runs, where its doors are
pnpm lab deploy SERVICE     builds order, payment, inventory or card-processor anew and rolls it out
pnpm lab apply [COMPONENT …]
                            the manifests as they stand, with canary, app-faults, fault-injection or istio-init
pnpm lab logs NAME [-f …]   of a program of the node or of a workload's pods
pnpm lab kubectl …          kubectl against the lab
pnpm lab exec -- CMD …      runs CMD inside the lab's namespaces
pnpm token --tenant acme    a token that the gateway accepts
pnpm lab down               ends it; nothing of it stays but its logs in .lab`

type Command = (args: readonly string[]) => Promise<void>

const COMMANDS: Readonly<Record<string, Command>> = {
  async build(args) {
    await build(optionsOf(args))
  },
  async up(args) {
    await up(optionsOf(args))
    await COMMANDS['status']?.([])
  },
  async order() {
    const lab = requireLab()
    const order = await placeTracedOrder(lab)
    say(`\n${tellOrder(lab, order)}\n\n${invite(lab)}`)
    if (order.status !== 201) throw new LabError(`The order was not confirmed (${order.status}).`)
  },
  async audit(args) {
    requireLab()
    process.exitCode = await audit(args)
  },
  async status() {
    await tellStatus(requireLab())
  },
  async deploy([service, ...rest]) {
    if (service === undefined || rest.length > 0)
      throw new LabError('Which one? pnpm lab deploy order|payment|inventory|card-processor')
    await deploy(requireLab(), service)
  },
  async apply(names) {
    requireLab()
    await apply(names)
  },
  async logs([name, ...flags]) {
    if (name === undefined) throw new LabError('Whose? pnpm lab logs order-service')
    requireLab()
    await logs(name, flags)
  },
  async kubectl(args) {
    requireLab()
    const env = { ...process.env, KUBECONFIG }
    process.exitCode =
      (await hand(requireTools().program('kubernetes', 'kubectl'), args, { env })) ?? 1
  },
  async exec(args) {
    const command = args[0] === '--' ? args.slice(1) : args
    if (command.length === 0) throw new LabError('What? pnpm lab exec -- ip addr')
    const env = { ...process.env, KUBECONFIG: `${INSIDE.config}/admin.kubeconfig` }
    process.exitCode =
      (await hand('nsenter', [...insideOf(requireLab()), ...command], { env })) ?? 1
  },
  async token(args) {
    requireLab()
    const { values } = parseArgs({ args: [...args], options: { tenant: { type: 'string' } } })
    if (values.tenant === undefined) throw new LabError('Whose? pnpm token --tenant acme')
    say(await signToken(STATE_DIR, { tenant: values.tenant }))
  },
  async down() {
    say((await stopLab()) ? 'The lab has ended; its logs are in .lab/logs.' : 'No lab was up.')
  },
}

async function story(): Promise<void> {
  if (runningLab() === undefined) await up({})
  else say('The lab is up already (pnpm lab down ends it).')
  await COMMANDS['order']?.([])
}

function optionsOf(args: readonly string[]): { install: boolean; portOffset: number } {
  const { values } = parseArgs({
    args: [...args],
    options: {
      install: { type: 'boolean', default: false },
      'port-offset': { type: 'string', default: '0' },
    },
  })
  const portOffset = Number(values['port-offset'])
  if (!Number.isInteger(portOffset) || portOffset < 0 || portOffset > 40_000)
    throw new LabError('--port-offset is a whole number from 0 to 40000.')
  return { install: values.install, portOffset }
}

const [name, ...args] = process.argv.slice(2)
try {
  if (name === undefined) await story()
  else if (name === 'help' || name === '--help') say(USAGE)
  else if (COMMANDS[name] === undefined)
    throw new LabError(`There is no command ${name}.\n\n${USAGE}`)
  else await COMMANDS[name](args)
} catch (error) {
  if (!(error instanceof LabError) && !isUsage(error)) throw error
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
}

function isUsage(error: unknown): boolean {
  return String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS')
}
