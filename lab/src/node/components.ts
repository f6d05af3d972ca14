/** The programs of a one-node Kubernetes, as data: what runs, with which flags and files. */
import { join } from 'node:path'
import { API_PORT, INSIDE, NETWORK, PAUSE_IMAGE } from './layout.ts'

export interface Component {
  readonly name: string
  readonly command: string
  readonly flags: Readonly<Record<string, string>>
}

const pki = (file: string): string => join(INSIDE.pki, file)
const tool = (name: string): string => join(INSIDE.tools, 'bin', name)
const config = (file: string): string => join(INSIDE.config, file)
const kubeconfig = (user: 'admin' | 'kubelet'): string => config(`${user}.kubeconfig`)

/** What the API server needs to answer. */
export const STORE: readonly Component[] = [
  {
    name: 'etcd',
    command: 'etcd',
    flags: {
      'data-dir': join(INSIDE.state, 'etcd'),
      'listen-client-urls': 'http://127.0.0.1:2379',
      'advertise-client-urls': 'http://127.0.0.1:2379',
      'listen-peer-urls': 'http://127.0.0.1:2380',
      // A lab's state ends with it: nothing here has to survive a power cut.
      'unsafe-no-fsync': 'true',
    },
  },
  {
    name: 'containerd',
    command: 'containerd',
    flags: { config: config('containerd.toml') },
  },
  {
    name: 'kube-apiserver',
    command: tool('kube-apiserver'),
    flags: {
      'etcd-servers': 'http://127.0.0.1:2379',
      'secure-port': String(API_PORT),
      'advertise-address': NETWORK.nodeIp,
      'service-cluster-ip-range': NETWORK.services,
      'authorization-mode': 'Node,RBAC',
      'enable-admission-plugins': 'NodeRestriction',
      'allow-privileged': 'true',
      'client-ca-file': pki('ca.crt'),
      'tls-cert-file': pki('apiserver.crt'),
      'tls-private-key-file': pki('apiserver.key'),
      'service-account-issuer': 'https://kubernetes.default.svc.cluster.local',
      'service-account-signing-key-file': pki('sa.key'),
      'service-account-key-file': pki('sa.pub'),
      'kubelet-client-certificate': pki('admin.crt'),
      'kubelet-client-key': pki('admin.key'),
      'kubelet-preferred-address-types': 'InternalIP',
      'requestheader-client-ca-file': pki('ca.crt'),
      'requestheader-allowed-names': 'front-proxy',
      'requestheader-extra-headers-prefix': 'X-Remote-Extra-',
      'requestheader-group-headers': 'X-Remote-Group',
      'requestheader-username-headers': 'X-Remote-User',
      'proxy-client-cert-file': pki('front-proxy.crt'),
      'proxy-client-key-file': pki('front-proxy.key'),
      'enable-aggregator-routing': 'true',
    },
  },
]

/** What needs the API server. */
export const NODE: readonly Component[] = [
  {
    name: 'kube-controller-manager',
    command: tool('kube-controller-manager'),
    flags: {
      kubeconfig: kubeconfig('admin'),
      'allocate-node-cidrs': 'false',
      'service-account-private-key-file': pki('sa.key'),
      'root-ca-file': pki('ca.crt'),
      'cluster-signing-cert-file': pki('ca.crt'),
      'cluster-signing-key-file': pki('ca.key'),
      'use-service-account-credentials': 'true',
      'leader-elect': 'false',
      // An autoscaler's minimum holds without metrics; the default lets the second replica wait for 15 s.
      'horizontal-pod-autoscaler-sync-period': '1s',
    },
  },
  {
    name: 'kube-scheduler',
    command: tool('kube-scheduler'),
    flags: { kubeconfig: kubeconfig('admin'), 'leader-elect': 'false' },
  },
  {
    name: 'kubelet',
    command: tool('kubelet'),
    flags: {
      config: config('kubelet.json'),
      kubeconfig: kubeconfig('kubelet'),
      'hostname-override': 'lab',
      'node-ip': NETWORK.nodeIp,
    },
  },
  {
    name: 'kube-proxy',
    command: tool('kube-proxy'),
    flags: { config: config('kube-proxy.json') },
  },
]

/** Their configuration, by file name. @param cgroupRoot absolute below the cgroup mount, of this lab alone. */
export function componentFiles(cgroupRoot: string): Readonly<Record<string, string>> {
  return {
    'containerd.toml': containerdToml,
    'kubelet.json': JSON.stringify(kubelet(cgroupRoot)),
    'kube-proxy.json': JSON.stringify(kubeProxy),
    'resolv.conf': 'nameserver 127.0.0.1\n',
    'admin.kubeconfig': JSON.stringify(kubeconfigOf('admin')),
    'kubelet.kubeconfig': JSON.stringify(kubeconfigOf('kubelet')),
  }
}

function kubeconfigOf(user: 'admin' | 'kubelet'): object {
  const cluster = {
    server: `https://127.0.0.1:${API_PORT}`,
    'certificate-authority': pki('ca.crt'),
  }
  const certificate = { 'client-certificate': pki(`${user}.crt`), 'client-key': pki(`${user}.key`) }
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'lab', cluster }],
    users: [{ name: user, user: certificate }],
    contexts: [{ name: 'lab', context: { cluster: 'lab', user } }],
    'current-context': 'lab',
  }
}

/** Debian's containerd is 1.6: configuration version 2. */
const containerdToml = `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE runc cannot lower an OOM score and would die.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "${INSIDE.cniBin}"
    conf_dir = "${INSIDE.cniConf}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
`

function kubelet(cgroupRoot: string): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: pki('ca.crt') },
    },
    authorization: { mode: 'Webhook' },
    cgroupDriver: 'cgroupfs',
    cgroupRoot,
    failSwapOn: false,
    clusterDomain: 'cluster.local',
    clusterDNS: [NETWORK.dns],
    resolvConf: config('resolv.conf'),
    containerRuntimeEndpoint: `unix://${INSIDE.containerd}`,
    volumePluginDir: '/run/lab/volume-plugins',
    imageGCHighThresholdPercent: 100,
    evictionHard: {
      'memory.available': '100Mi',
      'nodefs.available': '0%',
      'imagefs.available': '0%',
    },
    serializeImagePulls: false,
    // The API server shows nothing of a log that was put aside, as is done at 10 MiB, and proofs count its lines.
    containerLogMaxSize: '500Mi',
  }
}

const kubeProxy = {
  apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
  kind: 'KubeProxyConfiguration',
  clientConnection: { kubeconfig: kubeconfig('admin') },
  clusterCIDR: NETWORK.pods,
  mode: 'iptables',
  hostnameOverride: 'lab',
  // The host's conntrack limits are the host's.
  conntrack: { maxPerCore: 0, min: 0 },
}

export const CNI_CONFIG = {
  cniVersion: '0.4.0',
  name: 'lab',
  plugins: [
    {
      type: 'bridge',
      bridge: 'cni0',
      isGateway: true,
      ipMasq: false,
      hairpinMode: true,
      ipam: {
        type: 'host-local',
        dataDir: '/run/lab/ipam',
        ranges: [[{ subnet: NETWORK.pods }]],
        routes: [{ dst: '0.0.0.0/0' }],
      },
    },
    { type: 'portmap', capabilities: { portMappings: true } },
  ],
} as const
