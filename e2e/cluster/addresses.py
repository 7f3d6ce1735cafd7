"""The addresses inside a cluster. They are the same in every cluster: each has a network of its own."""

SERVICES = "10.96.0.0/16"
KUBERNETES_SERVICE = "10.96.0.1"
DNS_SERVICE = "10.96.0.10"
DOMAIN = "cluster.local"
PODS = "10.244.0.0/16"
API_PORT = 6443
BRIDGE = "nodes"


def node_number(name: str) -> int:
    return int(name.removeprefix("n"))


def node_name(number: int) -> str:
    return f"n{number}"


def node_address(number: int) -> str:
    return f"10.10.0.{number}"


def pod_range(number: int) -> str:
    return f"10.244.{number - 1}.0/24"


API_ADDRESS = node_address(1)
API_URL = f"https://{API_ADDRESS}:{API_PORT}"
