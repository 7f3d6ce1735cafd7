"""What `up` decided, for the processes inside the cluster and for whoever asks later."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import ClusterError


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    name: str
    nodes: int
    api_port: int
    socks_port: int
    api_fd: int
    socks_fd: int
    started_at: float
    binaries: dict[str, str]
    archives: tuple[str, ...]
    cni_plugins: str
    visible: tuple[str, ...]
    """Folders that must stay visible inside although they may lie below one that a node replaces."""

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2))

    def binary(self, name: str) -> str:
        return self.binaries[name]


def read_record(path: Path) -> Record | None:
    """The record of the last `up`, running or not; None when there was none."""
    try:
        raw = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ClusterError(
            f"{path} is damaged ({error}): run `make cluster-down`, then `make cluster`"
        ) from error
    try:
        return Record(**{**raw, "archives": tuple(raw["archives"]), "visible": tuple(raw["visible"])})
    except (TypeError, KeyError):
        return None  # written by another version of this tool; `up` starts afresh
