"""Who a client is: its API key looked up among the entries of the service's Secret."""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Container, Mapping

from octavo_gateway.errors import Unauthorized, Unavailable
from octavo_gateway.routing import Service

Entries = Mapping[str, bytes]
_RETRY_AFTER_SECONDS = 5
_CHALLENGE = {"www-authenticate": "Bearer"}


class ApiKeys:
    """`entries_of` gives the Secret's entries for a service, or None while the Secret has not been seen.

    Keys are kept and compared as digests under a secret of this process: nobody outside can aim at a digest,
    so how long a lookup takes tells nothing of the keys.
    """

    def __init__(self, entries_of: Callable[[Service], Entries | None]) -> None:
        self._entries_of = entries_of
        self._pepper = secrets.token_bytes(32)
        self._tenants: dict[str, tuple[Entries, dict[bytes, str]]] = {}

    def tenant(self, service: Service, authorization: bytes | None) -> str:
        """The name of the client's key; "" for a service without auth.

        Raises Unauthorized, or Unavailable while the Secret is not there: no key can be right then.
        """
        if not service.policy.has_auth:
            return ""
        entries = self._entries_of(service)
        if entries is None:
            raise Unavailable(
                "the API keys of this service cannot be read at the moment; try again",
                code="keys_unavailable",
                retry_after=_RETRY_AFTER_SECONDS,
            )
        digest = self._digest(_bearer(authorization))
        tenant = self._by_digest(service, entries).get(digest)
        if tenant is None:
            raise Unauthorized(
                "the API key is not one of this service's", code="invalid_api_key", headers=_CHALLENGE
            )
        return tenant

    def forget_all_but(self, services: Container[str]) -> None:
        self._tenants = {name: known for name, known in self._tenants.items() if name in services}

    def _by_digest(self, service: Service, entries: Entries) -> dict[bytes, str]:
        cached = self._tenants.get(service.name)
        if cached is None or cached[0] is not entries:
            # Of names that share a key the first counts; an empty entry is nobody's key.
            named = sorted(entries.items(), reverse=True)
            cached = entries, {self._digest(key.strip()): name for name, key in named if key.strip()}
            self._tenants[service.name] = cached
        return cached[1]

    def _digest(self, key: bytes) -> bytes:
        return hmac.digest(self._pepper, key, hashlib.sha256)


def _bearer(authorization: bytes | None) -> bytes:
    scheme, _, key = (authorization or b"").strip().partition(b" ")
    if scheme.lower() != b"bearer" or not key.strip():
        raise Unauthorized(
            "this service asks for an API key; send the header `authorization: Bearer KEY`",
            code="missing_api_key",
            headers=_CHALLENGE,
        )
    return key.strip()
