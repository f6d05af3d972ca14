/** Where the project is, and where it keeps what is costly to make. */
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

export const ROOT = resolve(import.meta.dirname, '../..')

/** By content: removing it only costs the next run its time. */
export const CACHE_DIR = join(
  process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'),
  'order-management',
)
