"""How the operator was started: flags, each with an environment variable as its default. Read here alone."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from octavo_api.names import METRICS_API_PORT, OPERATOR_HEALTH_PORT, OPERATOR_NAME
from octavo_operator.lease import LeaseTimes
from octavo_operator.observed import GatewayDefaults, OperatorDefaults


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    engine_image: str
    model_root: str | None = None
    hub_endpoint: str | None = None
    prometheus_url: str | None = None
    gateway: GatewayDefaults = field(default_factory=GatewayDefaults)
    kubeconfig: str | None = None
    """None: the service account of the pod that we run in."""
    operator_namespace: str | None = None
    """Where the operator's own objects are: with it there is a leader election, without it none."""
    lease_seconds: float = LeaseTimes().duration
    watch_namespace: str | None = None
    """None: the services of all namespaces."""
    pod_name: str = OPERATOR_NAME
    """Tells the replicas apart, in the Lease and in logs."""
    metrics_api: bool = False
    health_port: int = OPERATOR_HEALTH_PORT
    num_workers: int = 8
    resync_seconds: float = 300.0
    log_level: str = "info"

    @property
    def defaults(self) -> OperatorDefaults:
        return OperatorDefaults(
            engine_image=self.engine_image,
            model_root=self.model_root,
            hub_endpoint=self.hub_endpoint,
            prometheus_url=self.prometheus_url,
            gateway=self.gateway,
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
        if not given.gateway_image:
            parser.error(
                "--gateway-image (OCTAVO_GATEWAY_IMAGE) is required: the operator's own image, which holds "
                "the gateway too"
            )
        if given.gateway_replicas < 1:
            parser.error(
                f"--gateway-replicas {given.gateway_replicas}: write 1 or more; all requests go through it"
            )
        if given.model_root and not PurePosixPath(given.model_root).is_absolute():
            parser.error(f"--model-root {given.model_root!r}: write an absolute path")
        if given.lease_seconds < 3:
            parser.error(
                f"--lease-seconds {given.lease_seconds:g}: write 3 or more; it is renewed within two thirds"
            )
        if given.prometheus_url and not given.prometheus_url.startswith(("http://", "https://")):
            parser.error(
                f"--prometheus-url {given.prometheus_url!r}: write a URL such as http://prometheus.monitoring:9090"
            )
        if given.metrics_api and not given.operator_namespace:
            parser.error(
                "--metrics-api needs --operator-namespace (OCTAVO_NAMESPACE); its Secret is kept there"
            )
        return Settings(
            engine_image=given.engine_image,
            model_root=given.model_root or None,
            hub_endpoint=given.hub_endpoint or None,
            prometheus_url=given.prometheus_url or None,
            gateway=GatewayDefaults(
                image=given.gateway_image,
                replicas=given.gateway_replicas,
                tls_secret=given.gateway_tls_secret or None,
            ),
            kubeconfig=environment.get("KUBECONFIG") or None,
            operator_namespace=given.operator_namespace or None,
            lease_seconds=given.lease_seconds,
            watch_namespace=given.watch_namespace or None,
            pod_name=environment.get("HOSTNAME") or OPERATOR_NAME,
            metrics_api=given.metrics_api,
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
    add(
        "--prometheus-url",
        default=environment.get("OCTAVO_PROMETHEUS_URL"),
        help="URL of a Prometheus that scrapes engines and gateways, for services that KEDA scales",
    )
    _add_gateway(parser, environment)
    _add_namespaces(parser, environment)
    _add_metrics_api(parser, environment)
    add("--health-port", type=int, default=int(environment.get("OCTAVO_HEALTH_PORT", OPERATOR_HEALTH_PORT)))
    add("--num-workers", type=int, default=8, help="services that are reconciled at once")
    add("--resync-seconds", type=float, default=300.0, help="longest time between two looks at a service")
    add(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default=environment.get("OCTAVO_LOG_LEVEL", "info"),
    )
    return parser


def _add_namespaces(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    add = parser.add_argument
    add(
        "--operator-namespace",
        default=environment.get("OCTAVO_NAMESPACE"),
        help="namespace of the operator itself: its replicas then elect the one that acts, by a Lease there; "
        "without it this process takes itself for the only one",
    )
    add(
        "--lease-seconds",
        type=float,
        default=environment.get("OCTAVO_LEASE_SECONDS") or LeaseTimes().duration,
        help="after so long a stand-by takes over from a lost replica; more for a slow control plane",
    )
    add(
        "--watch-namespace",
        default=environment.get("OCTAVO_WATCH_NAMESPACE"),
        help="serve the InferenceServices of this namespace alone; without it those of all namespaces",
    )


def _add_metrics_api(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    parser.add_argument(
        "--metrics-api",
        type=_switch,
        nargs="?",
        const=True,
        default=environment.get("OCTAVO_METRICS_API") or False,
        metavar="true|false",
        help=f"serve custom.metrics.k8s.io for HorizontalPodAutoscalers on port {METRICS_API_PORT}",
    )


def _switch(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r}: write true or false")
    return text == "true"


def _add_gateway(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    add = parser.add_argument
    add(
        "--gateway-image",
        default=environment.get("OCTAVO_GATEWAY_IMAGE"),
        help="image of the namespaces' gateways: the operator's own",
    )
    add(
        "--gateway-replicas",
        type=int,
        default=environment.get("OCTAVO_GATEWAY_REPLICAS") or GatewayDefaults().replicas,
        help="gateway pods in each namespace that has an InferenceService",
    )
    add(
        "--gateway-tls-secret",
        default=environment.get("OCTAVO_GATEWAY_TLS_SECRET"),
        help="name of a Secret of type kubernetes.io/tls, in every namespace with an InferenceService: "
        "gateways then serve HTTPS on port 443, and no HTTP; without it HTTP on port 80",
    )
