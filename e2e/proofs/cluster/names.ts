/** Where things are, and how the proxies call them. */
export const OM = 'order-management'
export const SYSTEM = 'istio-system'
export const INGRESS = 'istio-ingress'
export const EGRESS = 'istio-egress'
export const PSP = 'card-processor'
export const JAEGER = 'jaeger'
/** Injected, without a policy of its own. Made by the proofs. */
export const PROBES = 'oms-probe'
/** Not injected: no identity. Made by the proofs. */
export const EXTERNAL = 'oms-external'

export const GATEWAY_HOST = 'orders.example.com'
export const PSP_HOST = 'psp.example.com'

/** Its routes, in the API server. */
export const PAYMENT_ROUTES = `/apis/networking.istio.io/v1/namespaces/${OM}/virtualservices/payment-service-retry`

/** A callee's counters: refused by policy, in plain text, and in TLS. */
export const DENIED = 'http.inbound_0.0.0.0_8080;.rbac.denied'
export const NO_CHAIN = 'listener.0.0.0.0_15006.no_filter_chain_match'
export const IN_HANDSHAKE = 'listener.0.0.0.0_15006.ssl.handshake'
/** A gateway's account of requests, in or out: `…rbac.denied`. */
export const GATEWAY_HTTP = 'http.outbound_0.0.0.0_8443;.'

export const SERVICES = ['order-service', 'payment-service', 'inventory-service'] as const
export type ServiceName = (typeof SERVICES)[number]

export function originOf(service: string, namespace = OM): string {
  return `http://${service}.${namespace}.svc.cluster.local:8080`
}

/** Envoy's cluster of a service's port, and the prefix of its stats: mind the `;` at the end of the name there. */
export function clusterOf(service: string, port = 8080, namespace = OM, subset = ''): string {
  return `outbound|${port}|${subset}|${service}.${namespace}.svc.cluster.local`
}

/** @param stat as `upstream_rq_retry`. */
export function statOf(cluster: string, stat: string): string {
  return `cluster.${cluster};.${stat}`
}

export function identityOf(account: string, namespace = OM): string {
  return `spiffe://cluster.local/ns/${namespace}/sa/${account}`
}
