"""Every tool of ours asks here before it touches a cluster: is it the one that this checkout made?

`require_own_context` reads the kubeconfig that the tool is about to use. Nothing else counts: no
environment, no default file. It needs PyYAML, as kubectl rewrites kubeconfigs as YAML.
"""

from pathlib import Path
from typing import Any

import yaml

from . import pki, processes
from .errors import ForeignContext
from .paths import Checkout, this_checkout
from .record import Record, read_record

REMEDY = "start this checkout's own with `make cluster`, and use .octavo/kubeconfig"


def require_own_context(kubeconfig: Path, checkout: Checkout | None = None) -> Record:
    """The running cluster's record, or ForeignContext when `kubeconfig` leads anywhere else."""
    own = checkout or this_checkout()
    context, cluster = current_context(kubeconfig)
    if context != own.context:
        raise ForeignContext(f"{kubeconfig}: context {context!r} is not {own.context!r}: {REMEDY}")
    record = read_record(own.state.record)
    if record is None or processes.launcher(own.state) is None:
        raise ForeignContext(f"{kubeconfig}: the cluster of {own.root} does not run: {REMEDY}")
    expected = {
        "server": f"https://127.0.0.1:{record.api_port}",
        "certificate-authority-data": pki.embedded(own.state.pki / "ca.crt"),
    }
    if cluster != expected:
        raise ForeignContext(
            f"{kubeconfig}: {context!r} does not lead to the cluster of {own.root}: {REMEDY}"
        )
    return record


def current_context(kubeconfig: Path) -> tuple[str, dict[str, Any]]:
    """The current context's name, and its cluster as the file has it."""
    try:
        config = yaml.safe_load(kubeconfig.read_text())
        name = config["current-context"]
        context = next(each["context"] for each in config["contexts"] if each["name"] == name)
        cluster = next(each["cluster"] for each in config["clusters"] if each["name"] == context["cluster"])
    except FileNotFoundError as error:
        raise ForeignContext(f"there is no {kubeconfig}: {REMEDY}") from error
    except (yaml.YAMLError, LookupError, TypeError, StopIteration) as error:
        raise ForeignContext(f"{kubeconfig} is no kubeconfig with a current context: {REMEDY}") from error
    return name, cluster
