"""How the operator was started: flags, each with an environment variable as its default. Read here alone."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from octavo_api.names import OPERATOR_HEALTH_PORT
from octavo_operator.observed import OperatorDefaults


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    engine_image: str
    model_root: str | None = None
    hub_endpoint: str | None = None
    kubeconfig: str | None = None
    """None: the service account of the pod that we run in."""
    health_port: int = OPERATOR_HEALTH_PORT
    num_workers: int = 8
    resync_seconds: float = 300.0
    log_level: str = "info"

    @property
    def defaults(self) -> OperatorDefaults:
        return OperatorDefaults(
            engine_image=self.engine_image, model_root=self.model_root, hub_endpoint=self.hub_endpoint
        )

    @staticmethod
    def read(arguments: Sequence[str], environment: Mapping[str, str]) -> "Settings":
        """Ends the process with a sentence when something is missing or wrong."""
        parser = _parser(environment)
        given = parser.parse_args(arguments)
        if not given.engine_image:
            parser.error(
                "--engine-image (OCTAVO_ENGINE_IMAGE) is required: the image that services run by default"
            )
        if given.model_root and not PurePosixPath(given.model_root).is_absolute():
            parser.error(f"--model-root {given.model_root!r}: write an absolute path")
        return Settings(
            engine_image=given.engine_image,
            model_root=given.model_root or None,
            hub_endpoint=given.hub_endpoint or None,
            kubeconfig=environment.get("KUBECONFIG") or None,
            health_port=given.health_port,
            num_workers=given.num_workers,
            resync_seconds=given.resync_seconds,
            log_level=given.log_level,
        )


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="octavo-operator",
        description="Serves InferenceServices. Outside a cluster KUBECONFIG names the cluster.",
    )
    add = parser.add_argument
    add(
        "--engine-image", default=environment.get("OCTAVO_ENGINE_IMAGE"), help="image of new engine revisions"
    )
    add(
        "--model-root",
        default=environment.get("OCTAVO_MODEL_ROOT"),
        help="folder on the nodes below which file:// models lie; without it they are refused",
    )
    add("--hub-endpoint", default=environment.get("OCTAVO_HUB_ENDPOINT"), help="URL of the model hub")
    add("--health-port", type=int, default=int(environment.get("OCTAVO_HEALTH_PORT", OPERATOR_HEALTH_PORT)))
    add("--num-workers", type=int, default=8, help="services that are reconciled at once")
    add("--resync-seconds", type=float, default=300.0, help="longest time between two looks at a service")
    add(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default=environment.get("OCTAVO_LOG_LEVEL", "info"),
    )
    return parser
