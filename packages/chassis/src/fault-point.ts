/** Named places where a test may crash, delay or cut. Without a preload script's hook each is one property read. */

const HOOK = Symbol.for('oms.fault-point')

type Hook = (name: string) => Promise<void> | void

/** Called from adapters and loops only, directly before or after what the name says. */
export async function faultPoint(name: string): Promise<void> {
  const hook = (globalThis as { [HOOK]?: Hook })[HOOK]
  if (hook !== undefined) await hook(name)
}
