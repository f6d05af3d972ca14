/** What is costly to make is kept here, by its content; removing it only costs the next run its time. */
import { homedir } from 'node:os'
import { join } from 'node:path'

export const CACHE_DIR = join(
  process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'),
  'order-management',
)
