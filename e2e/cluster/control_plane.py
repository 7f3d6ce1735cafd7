"""The command lines of the control plane; pure."""

from .addresses import API_ADDRESS, API_PORT, SERVICES
from .paths import MANIFESTS, State
from .record import Record


def etcd(record: Record, state: State) -> list[str]:
    client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
    return [
        record.binary("etcd"),
        f"--data-dir={state.etcd}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",  # the data is thrown away with the cluster
    ]


def api_server(record: Record, state: State) -> list[str]:
    pki = state.pki
    return [
        record.binary("kube-apiserver"),
        "--etcd-servers=http://127.0.0.1:2379",
        "--bind-address=0.0.0.0",
        f"--advertise-address={API_ADDRESS}",
        f"--secure-port={API_PORT}",
        f"--service-cluster-ip-range={SERVICES}",
        "--allow-privileged=true",
        "--authorization-mode=Node,RBAC",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--service-account-key-file={pki}/service-account.pub",
        f"--service-account-signing-key-file={pki}/service-account.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--kubelet-client-certificate={pki}/kubelet-client.crt",
        f"--kubelet-client-key={pki}/kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP,Hostname",
        *aggregation(state),
        f"--audit-policy-file={MANIFESTS}/audit-policy.yaml",
        f"--audit-log-path={state.audit_log}",
    ]


def aggregation(state: State) -> list[str]:
    """What an APIService needs: who the front proxy is, and endpoints instead of ClusterIPs."""
    return [
        f"--requestheader-client-ca-file={state.pki}/ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={state.pki}/front-proxy.crt",
        f"--proxy-client-key-file={state.pki}/front-proxy.key",
        "--enable-aggregator-routing=true",
    ]


def controller_manager(record: Record, state: State) -> list[str]:
    return [
        record.binary("kube-controller-manager"),
        *client_flags(state, "controller-manager"),
        f"--service-account-private-key-file={state.pki}/service-account.key",
        f"--root-ca-file={state.pki}/ca.crt",
        "--use-service-account-credentials=true",
        "--flex-volume-plugin-dir=/run/flex-volume-plugins",  # the default lies on the host, and it is made
        "--kube-api-qps=500",  # with the default of 20 the controllers take four seconds to start
        "--kube-api-burst=1000",
        "--horizontal-pod-autoscaler-sync-period=5s",  # 15 s would make every scaling story wait
    ]


def scheduler(record: Record, state: State) -> list[str]:
    # As above: with the default of 50 a bench of thousands of pods would wait for it.
    quick = ["--kube-api-qps=500", "--kube-api-burst=1000"]
    return [record.binary("kube-scheduler"), *client_flags(state, "scheduler"), *quick]


def client_flags(state: State, user: str) -> list[str]:
    kubeconfig = f"{state.pki}/{user}.kubeconfig"
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    ]
