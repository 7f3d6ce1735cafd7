"""KEDA's own CRD of ScaledObjects, out of its Go module: what a real KEDA would accept."""

import json
import tempfile
from pathlib import Path

from cluster.go import run_go

MODULE = "github.com/kedacore/keda/v2@v2.21.0"
CRD_NAME = "scaledobjects.keda.sh"


def scaled_object_crd() -> Path:
    """The file in Go's module cache, fetched once."""
    command = ["go", "mod", "download", "-json", MODULE]
    with tempfile.TemporaryDirectory() as folder:
        said = run_go(command, Path(folder), lambda _, seconds: f"fetching {MODULE}, {seconds:.0f} s")
    return Path(json.loads("".join(said))["Dir"]) / "config/crd/bases/keda.sh_scaledobjects.yaml"
