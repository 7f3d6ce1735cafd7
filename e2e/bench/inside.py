"""Running a program of the host in the cluster's network, where the API server is a local address."""

from cluster import processes
from cluster.errors import ClusterError
from cluster.paths import this_checkout


def inside_the_cluster(*command: str) -> list[str]:
    """The command line. `nsenter` becomes the program itself, so its pid is the program's."""
    pid = processes.launcher(this_checkout().state)
    if pid is None:
        raise ClusterError("the cluster has ended: see .octavo/cluster/log")
    return ["nsenter", f"--net=/proc/{pid}/ns/net", "--", *command]
