"""Whom the metrics API answers: the API server, which shows its front-proxy certificate. Pure.

It has authenticated and authorised the caller by then; nobody else's word on that is worth anything.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

NAMESPACE: Final = "kube-system"
CONFIG_MAP: Final = "extension-apiserver-authentication"
_KEY_CA: Final = "requestheader-client-ca-file"
_KEY_NAMES: Final = "requestheader-allowed-names"


class NoFrontProxy(Exception):
    """The cluster does not say who its front proxy is; the message has the remedy."""


@dataclass(frozen=True, slots=True)
class FrontProxy:
    ca_pem: str
    allowed_names: frozenset[str]
    """Common names; empty: any that the CA has signed."""

    @staticmethod
    def from_config_map(config_map: Mapping[str, Any] | None) -> "FrontProxy":
        """Raises NoFrontProxy."""
        data = (config_map or {}).get("data") or {}
        ca_pem = data.get(_KEY_CA) or ""
        if "BEGIN CERTIFICATE" not in ca_pem:
            raise NoFrontProxy(
                f"ConfigMap {NAMESPACE}/{CONFIG_MAP} has no {_KEY_CA}; start the API server with the "
                "flags of its aggregation layer (--requestheader-client-ca-file and --proxy-client-cert-file)"
            )
        try:
            names = json.loads(data.get(_KEY_NAMES) or "[]")
            return FrontProxy(ca_pem, frozenset(map(str, names)))
        except (ValueError, TypeError) as error:
            raise NoFrontProxy(
                f"ConfigMap {NAMESPACE}/{CONFIG_MAP}: {_KEY_NAMES} is no JSON list of names ({error})"
            ) from error

    def admits(self, peer_certificate: Mapping[str, Any] | None) -> bool:
        """`peer_certificate` as Python's ssl gives it, its chain already verified against `ca_pem`."""
        if not peer_certificate:
            return False
        return not self.allowed_names or common_name(peer_certificate) in self.allowed_names


def common_name(peer_certificate: Mapping[str, Any]) -> str:
    """The last of several counts, as in Go, which the API server is written in."""
    pairs = [pair for part in peer_certificate.get("subject", ()) for pair in part]
    names = [value for key, value in pairs if key == "commonName"]
    return str(names[-1]) if names else ""
