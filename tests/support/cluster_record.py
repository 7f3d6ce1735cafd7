"""A record of a cluster that never ran, for the tests of the cluster tool."""

from cluster.record import Record

RECORD = Record(
    name="octavo-1",
    nodes=2,
    api_port=40001,
    socks_port=40002,
    api_fd=3,
    socks_fd=4,
    started_at=0.0,
    binaries={
        name: f"/bin/{name}"
        for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    },
    archives=("/cache/pause.tar",),
    cni_plugins="/usr/lib/cni",
    visible=("/home/me/octavo",),
)
