/** Preloaded by a test: the process ends itself with SIGKILL at the fault point named in CRASH_AT. */
const at = process.env.CRASH_AT
globalThis[Symbol.for('oms.fault-point')] = (name) => {
  if (name === at) process.kill(process.pid, 'SIGKILL')
}
