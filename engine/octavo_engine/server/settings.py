"""Settings of the HTTP half, made once from the command line."""

from dataclasses import dataclass
from pathlib import Path

from octavo_engine.errors import InvalidEngineConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainSettings:
    """After a drain begins, requests are still taken for `propagation_seconds`: routers learn late.

    From then on, open requests have `timeout_seconds` to finish.
    """

    propagation_seconds: float = 0.0
    timeout_seconds: float = 300.0

    def __post_init__(self) -> None:
        if not 0 <= self.propagation_seconds <= 3600:
            raise InvalidEngineConfig(
                f"--drain-propagation-seconds {self.propagation_seconds:g}: must be between 0 and 3600"
            )
        if not 0 <= self.timeout_seconds <= 86400:
            raise InvalidEngineConfig(
                f"--drain-timeout-seconds {self.timeout_seconds:g}: must be between 0 and 86400"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    served_names: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    drain: DrainSettings = DrainSettings()
    max_running_requests: int = 256
    max_waiting_requests: int = 1024
    """Sequences (prompts times choices) that may wait beyond those that run; more get 503."""
    stall_seconds: float = 120.0
    """Without a completed step for this long while work exists, /health answers 503."""
    gateway_token_file: Path | None = None
    """With it /v1 answers only to who presents the token in it, the gateway."""

    def __post_init__(self) -> None:
        if not self.served_names or any(not name.strip() for name in self.served_names):
            raise InvalidEngineConfig("--served-model-name: give at least one name that is not empty")
        if not 0 <= self.port <= 65535:
            raise InvalidEngineConfig(f"--port {self.port}: must be between 0 and 65535")
        if self.max_waiting_requests < 0:
            raise InvalidEngineConfig(
                f"--max-waiting-requests {self.max_waiting_requests}: must not be negative"
            )

    @property
    def max_open_sequences(self) -> int:
        return self.max_running_requests + self.max_waiting_requests
