/** Where things are inside the lab's own namespaces: fixed paths, wherever the checkout and the cache are. */
export const INSIDE = {
  state: '/run/lab/state',
  tools: '/run/lab/tools',
  pki: '/run/lab/state/pki',
  logs: '/run/lab/state/logs',
  config: '/run/lab/config',
  cniBin: '/run/lab/cni/bin',
  cniConf: '/run/lab/cni/net.d',
  containerd: '/run/containerd/containerd.sock',
} as const

export const NETWORK = {
  nodeIp: '10.0.0.2',
  nodeCidr: '10.0.0.2/24',
  gateway: '10.0.0.1',
  pods: '10.244.0.0/24',
  services: '10.96.0.0/16',
  apiService: '10.96.0.1',
  dns: '10.96.0.10',
} as const

export const API_PORT = 6443
export const PAUSE_IMAGE = 'registry.k8s.io/pause:3.10'
