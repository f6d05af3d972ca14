/** G11. */
import { type BrokenCopy, drop, set, type ToolBrokenCopy, unset } from './edits.ts'
import { ISTIO, NAMESPACE, PAYMENT } from './names.ts'

const POD = '/spec/template/spec'

export const podSecurityCopies: readonly BrokenCopy[] = [
  {
    mistake: 'a container that may become more',
    gate: 'G11',
    breaks: [set(PAYMENT, `${POD}/containers/0/securityContext/allowPrivilegeEscalation`, true)],
    says: /payment-service: container payment-service: securityContext\.allowPrivilegeEscalation is not false/,
  },
  {
    mistake: 'a container with every capability',
    gate: 'G11',
    breaks: [unset(PAYMENT, `${POD}/containers/0/securityContext/capabilities`)],
    says: /capabilities\.drop lacks ALL/,
  },
  {
    mistake: 'a folder of the node',
    gate: 'G11',
    breaks: [set(PAYMENT, `${POD}/volumes/-`, { name: 'logs', hostPath: { path: '/var/log' } })],
    says: /volume logs is of kind hostPath/,
  },
  {
    mistake: 'a seccomp profile of the container alone',
    gate: 'G11',
    breaks: [
      unset(PAYMENT, `${POD}/securityContext/seccompProfile`),
      set(PAYMENT, `${POD}/containers/0/securityContext/seccompProfile`, {
        type: 'RuntimeDefault',
      }),
    ],
    says: /the pod’s securityContext\.seccompProfile is not RuntimeDefault/,
  },
  {
    mistake: 'a namespace that enforces nothing',
    gate: 'G11',
    breaks: [unset(NAMESPACE, '/metadata/labels/pod-security.kubernetes.io~1enforce')],
    says: /Namespace order-management: pod-security\.kubernetes\.io\/enforce is missing/,
  },
  {
    mistake: 'a namespace too strict for the CNI plugin',
    gate: 'G11',
    breaks: [
      set(
        'Namespace istio-cni',
        '/metadata/labels/pod-security.kubernetes.io~1enforce',
        'restricted',
      ),
    ],
    says: /Namespace istio-cni: pod-security\.kubernetes\.io\/enforce is restricted, not privileged/,
  },
  {
    mistake: 'a container that can write into its image',
    gate: 'G11',
    breaks: [unset(PAYMENT, `${POD}/containers/0/securityContext/readOnlyRootFilesystem`)],
    says: /container payment-service: readOnlyRootFilesystem is not true/,
  },
]

export const podSecurityToolCopies: readonly ToolBrokenCopy[] = [
  {
    mistake: 'init containers that need NET_ADMIN',
    gate: 'G11',
    breaks: [set(ISTIO, '/spec/values/pilot/cni/enabled', false), drop('IstioCNI default')],
    says: /injected: container istio-init: securityContext\.capabilities\.add has NET_ADMIN/,
  },
  {
    mistake: 'a pod whose sidecar has no seccomp profile',
    gate: 'G11',
    breaks: [
      unset(PAYMENT, `${POD}/securityContext/seccompProfile`),
      set(PAYMENT, `${POD}/containers/0/securityContext/seccompProfile`, {
        type: 'RuntimeDefault',
      }),
    ],
    says: /payment-service, injected: container istio-proxy: securityContext\.seccompProfile is missing/,
  },
  {
    mistake: 'a pod without a sidecar',
    gate: 'G11',
    breaks: [set(PAYMENT, '/spec/template/metadata/annotations/sidecar.istio.io~1inject', 'false')],
    says: /payment-service, injected: no container istio-proxy was put in/,
  },
]
