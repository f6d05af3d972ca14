/** The databases of the system: one a service, `oms_order` and so on, with a role of the same name. */
export const SERVICES = ['order', 'payment', 'inventory'] as const
export type Service = (typeof SERVICES)[number]

/** Inventory answers by 0.8 s, so its statements end sooner. Milliseconds. */
export const STATEMENT_TIMEOUT_MS: Readonly<Record<Service, number>> = {
  order: 1500,
  payment: 1500,
  inventory: 700,
}
