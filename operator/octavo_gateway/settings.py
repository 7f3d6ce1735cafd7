"""How the gateway was started: flags, each with an environment variable as its default. Read here alone."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from octavo_api.names import GATEWAY_ADMIN_PORT, GATEWAY_PORT, GATEWAY_TLS_PORT
from octavo_gateway.logs import LogLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    namespace: str
    kubeconfig: str | None = None
    """None: the service account of the pod that we run in."""
    http_port: int = GATEWAY_PORT
    admin_port: int = GATEWAY_ADMIN_PORT
    tls: TlsFiles | None = None
    drain_propagation_seconds: float = 5.0
    """For how long a replica that leaves still accepts: until every node has heard that it does."""
    drain_timeout_seconds: float = 600.0
    max_continuations: int = 3
    """How often one stream may go on at another replica; 0: never."""
    log_level: LogLevel = "info"

    @staticmethod
    def read(arguments: Sequence[str], environment: Mapping[str, str]) -> "Settings":
        """Ends the process with a sentence when something is missing or wrong."""
        parser = _parser(environment)
        given = parser.parse_args(arguments)
        if not given.namespace:
            parser.error("--namespace (OCTAVO_NAMESPACE) is required: the namespace whose services we front")
        if bool(given.tls_cert) != bool(given.tls_key):
            parser.error("--tls-cert and --tls-key go together: give both or none")
        for flag in ("drain_propagation_seconds", "drain_timeout_seconds", "max_continuations"):
            if getattr(given, flag) < 0:
                parser.error(f"--{flag.replace('_', '-')} {getattr(given, flag):g}: must not be negative")
        tls = TlsFiles(certificate=Path(given.tls_cert), key=Path(given.tls_key)) if given.tls_cert else None
        default_port = GATEWAY_PORT if tls is None else GATEWAY_TLS_PORT
        return Settings(
            namespace=given.namespace,
            kubeconfig=environment.get("KUBECONFIG") or None,
            http_port=default_port if given.http_port is None else given.http_port,
            admin_port=given.admin_port,
            tls=tls,
            drain_propagation_seconds=given.drain_propagation_seconds,
            drain_timeout_seconds=given.drain_timeout_seconds,
            max_continuations=given.max_continuations,
            log_level=cast("LogLevel", given.log_level),
        )


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="octavo-gateway",
        description="The OpenAI endpoint of a namespace. Outside a cluster KUBECONFIG names the cluster. "
        "Each flag has an environment variable, e.g. OCTAVO_HTTP_PORT for --http-port.",
    )

    def add(flag: str, default: object, help: str, **options: object) -> None:
        variable = "OCTAVO_" + flag.removeprefix("--").replace("-", "_").upper()
        # An empty variable is an absent one. argparse converts a text default as it does an argument.
        value = environment.get(variable) or default
        parser.add_argument(flag, default=value, help=help, **options)  # type: ignore[arg-type]

    add("--namespace", None, "the namespace whose InferenceServices are served")
    add(
        "--http-port",
        None,
        f"where clients connect; {GATEWAY_PORT} unless given, {GATEWAY_TLS_PORT} with TLS",
        type=int,
    )
    add(
        "--admin-port",
        GATEWAY_ADMIN_PORT,
        "health, metrics, endpoints; plain HTTP, not for clients",
        type=int,
    )
    add("--tls-cert", None, "file with the certificate chain (PEM), read again when it changes")
    add("--tls-key", None, "file with its private key (PEM)")
    add("--drain-propagation-seconds", 5.0, "how long to accept requests after SIGTERM", type=float)
    add("--drain-timeout-seconds", 600.0, "how long open requests may take after that", type=float)
    add(
        "--max-continuations",
        3,
        "how often one broken stream may go on at another replica; 0: never",
        type=int,
    )
    add("--log-level", "info", "how much to log", choices=("debug", "info", "warning", "error"))
    return parser
