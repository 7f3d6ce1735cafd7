"""The configuration of one node's containerd, CNI, kubelet and kube-proxy; pure.

Paths are those that a node sees: it has `/run`, `/var/lib` and `/var/log` of its own (node.py).
"""

import json

from .addresses import DNS_SERVICE, DOMAIN, PODS, node_name, pod_range
from .archive import PAUSE_IMAGE
from .paths import State

CONTAINERD_ROOT = "/var/lib/containerd"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
KUBELET_ROOT = "/var/lib/kubelet"
CNI_CONFIG = "/run/cni"


def containerd_toml(cni_plugins: str, *, serve_pods: bool) -> str:
    """`serve_pods=False` leaves the image store alone, to sweep what a former cluster left in it."""
    disabled = ["io.containerd.internal.v1.opt"] + ([] if serve_pods else ["io.containerd.grpc.v1.cri"])
    return f"""\
version = 2
root = "{CONTAINERD_ROOT}"
state = "/run/containerd"
disabled_plugins = {json.dumps(disabled)}
[grpc]
  address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  # Without CAP_SYS_RESOURCE a score can only be raised; runc would fail to start any container.
  restrict_oom_score_adj = true
  sandbox_image = "{PAUSE_IMAGE}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_plugins}"
    conf_dir = "{CNI_CONFIG}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""


def cni_conflist(node: int) -> str:
    """Routed pods (`ptp`), not bridged ones: answers of a Service then pass the host without br_netfilter."""
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": pod_range(node)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins = [
        {"type": "ptp", "ipMasq": False, "ipam": ipam},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    return json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": plugins}, indent=2)


def kubelet_config(cluster: str, node: int, state: State) -> str:
    name, pki = node_name(node), state.pki
    return json.dumps(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": "0.0.0.0",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{pki}/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": f"{pki}/{name}.crt",
            "tlsPrivateKeyFile": f"{pki}/{name}.key",
            "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
            "volumePluginDir": f"{KUBELET_ROOT}/volume-plugins",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{cluster}/{name}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": ["pods"],
            "clusterDNS": [DNS_SERVICE],
            "clusterDomain": DOMAIN,
            "resolvConf": "",
            # Nothing could pull an image again: they come from `load`, never from a registry.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {
                "imagefs.available": "1%",
                "nodefs.available": "1%",
                "memory.available": "100Mi",
            },
        },
        indent=2,
    )


def kube_proxy_config(node: int, state: State) -> str:
    return json.dumps(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": f"{state.pki}/proxy.kubeconfig"},
            "hostnameOverride": node_name(node),
            "bindAddress": "0.0.0.0",
            "mode": "iptables",
            "clusterCIDR": PODS,
            # The default of 1 s would show every change of endpoints a second late.
            "iptables": {"minSyncPeriod": "10ms"},
            # These are settings of the whole kernel: leave them as they are.
            "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        },
        indent=2,
    )
