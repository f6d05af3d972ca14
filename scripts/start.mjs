/** `npm start`: plain JavaScript, because it runs on whatever Node is there. Installs, then hands over to up.ts. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const PNPM = 'pnpm@12.21.0'
/** Runs TypeScript as it is and has every API we use. */
const LEAST_NODE = [24, 11, 1]

function refuse(sentence) {
  console.error(sentence)
  process.exit(1)
}

function isOldNode(version) {
  const found = version.split('.').map(Number)
  const at = LEAST_NODE.findIndex((part, index) => part !== found[index])
  return at !== -1 && found[at] < LEAST_NODE[at]
}

if (Number(process.versions.node.split('.')[0]) < 20)
  refuse(`Node ${process.versions.node} is too old. Install Node 20 or later and try again.`)
if (!['linux', 'darwin'].includes(process.platform) || !['x64', 'arm64'].includes(process.arch))
  refuse(
    `There is no embedded PostgreSQL for ${process.platform} on ${process.arch}. Use Linux or macOS on x64 or arm64.`,
  )

const first = !existsSync(join(root, 'node_modules'))
console.log(
  first
    ? 'Order Management: first start, installing (half a minute or so) …'
    : 'Order Management: starting …',
)
// Already installed: no word and no network.
const install = spawnSync(
  'npx',
  ['-y', PNPM, 'install', '--frozen-lockfile', '--prefer-offline', ...(first ? [] : ['--silent'])],
  { cwd: root, stdio: 'inherit' },
)
if (install.error || install.status !== 0)
  refuse(
    'The packages could not be installed; the reason stands above. Check the network and the right to write here, then run npm start again.',
  )

// On Linux the Node that the project is made for comes with its packages.
const bundled = join(root, 'node_modules', `node-linux-${process.arch}`, 'bin', 'node')
const node = existsSync(bundled) ? bundled : process.execPath
if (node === process.execPath && isOldNode(process.versions.node))
  refuse(
    `On ${process.platform} Node ${LEAST_NODE.join('.')} or later is needed; this is ${process.versions.node}. Install it and try again.`,
  )

const up = spawn(node, [join(root, 'scripts/up.ts'), ...process.argv.slice(2)], {
  stdio: 'inherit',
})
// Ctrl-C reaches up.ts by the terminal, other signals only us: either way it stops in order and we wait.
process.on('SIGINT', () => {})
for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => up.kill(signal))
up.on('exit', (code) => process.exit(code ?? 1))
