"""Certificates, keys and kubeconfigs of one cluster: made at every start, with the machine's openssl."""

import base64
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .addresses import API_ADDRESS, API_URL, DOMAIN, KUBERNETES_SERVICE, node_address, node_name
from .errors import ClusterError

EC_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")  # RSA takes seconds longer
DAYS = "3650"


@dataclass(frozen=True, slots=True)
class Identity:
    file: str
    user: str
    group: str = ""
    names: tuple[str, ...] = ()
    needs_kubeconfig: bool = False


def identities(nodes: int) -> list[Identity]:
    service = [f"DNS:kubernetes.default.svc.{DOMAIN}", "DNS:kubernetes.default.svc", "DNS:kubernetes.default"]
    addresses = ["IP:127.0.0.1", f"IP:{KUBERNETES_SERVICE}", f"IP:{API_ADDRESS}"]
    server = (*service, "DNS:kubernetes", "DNS:localhost", *addresses)
    return [
        Identity("apiserver", "kube-apiserver", names=server),
        Identity("admin", "octavo-local-admin", "system:masters", needs_kubeconfig=True),
        Identity("controller-manager", "system:kube-controller-manager", needs_kubeconfig=True),
        Identity("scheduler", "system:kube-scheduler", needs_kubeconfig=True),
        Identity("proxy", "system:kube-proxy", needs_kubeconfig=True),
        Identity("kubelet-client", "kube-apiserver-kubelet-client", "system:masters"),
        Identity("front-proxy", "front-proxy-client"),
        *(node_identity(number) for number in range(1, nodes + 1)),
    ]


def node_identity(number: int) -> Identity:
    name = node_name(number)
    names = (f"DNS:{name}", f"IP:{node_address(number)}")
    return Identity(name, f"system:node:{name}", "system:nodes", names, needs_kubeconfig=True)


def create(folder: Path, nodes: int) -> None:
    """All files of the cluster's trust, in an empty folder that only the owner may read."""
    folder.mkdir(mode=0o700, parents=True)
    openssl(
        folder,
        "req",
        "-x509",
        *EC_KEY,
        "-keyout",
        "ca.key",
        "-out",
        "ca.crt",
        "-subj",
        "/CN=octavo-local",
        "-days",
        DAYS,
    )
    openssl(folder, "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "service-account.key")
    openssl(folder, "ec", "-in", "service-account.key", "-pubout", "-out", "service-account.pub")
    wanted = identities(nodes)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda identity: issue(folder, identity), wanted))
    for identity in wanted:
        if identity.needs_kubeconfig:
            write_kubeconfig(folder / f"{identity.file}.kubeconfig", folder, identity.file, API_URL, "inside")


def issue(folder: Path, identity: Identity) -> None:
    subject = (f"/O={identity.group}" if identity.group else "") + f"/CN={identity.user}"
    extensions = [
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-addext",
        "extendedKeyUsage=serverAuth,clientAuth",
    ]
    if identity.names:
        extensions += ["-addext", f"subjectAltName={','.join(identity.names)}"]
    output = ("-keyout", f"{identity.file}.key", "-out", f"{identity.file}.crt", "-days", DAYS)
    openssl(
        folder,
        "req",
        "-x509",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        *EC_KEY,
        *output,
        "-subj",
        subject,
        *extensions,
    )


def openssl(folder: Path, *arguments: str) -> None:
    result = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True)
    if result.returncode:
        raise ClusterError(f"openssl {arguments[0]} failed: {result.stderr.strip()}")


def write_kubeconfig(path: Path, pki: Path, user: str, server: str, context: str) -> None:
    """JSON, which is YAML too. Everything is embedded, so the file can be handed on by itself."""
    cluster = {"server": server, "certificate-authority-data": embedded(pki / "ca.crt")}
    credentials = {
        "client-certificate-data": embedded(pki / f"{user}.crt"),
        "client-key-data": embedded(pki / f"{user}.key"),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": context, "cluster": cluster}],
        "users": [{"name": context, "user": credentials}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
        "current-context": context,
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(config, indent=2) + "\n")


def embedded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
