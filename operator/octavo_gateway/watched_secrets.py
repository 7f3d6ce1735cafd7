"""The Secrets that services name, each watched by its name alone: the gateway may list no others."""

import asyncio
import base64
import binascii
from collections.abc import Callable, Mapping, Set

from octavo_api.api_server import SECRETS, Manifest
from octavo_api.informer import Informer, ListWatch


class WatchedSecrets:
    """Owns one informer a Secret. `on_change` is called when one came, changed or went."""

    def __init__(self, server: ListWatch, namespace: str, on_change: Callable[[], None]) -> None:
        self._server = server
        self._namespace = namespace
        self._on_change = on_change
        self._entries: dict[str, Mapping[str, bytes]] = {}
        self._informers: dict[str, Informer] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def informers(self) -> tuple[Informer, ...]:
        return tuple(self._informers.values())

    def want(self, names: Set[str]) -> None:
        """Watch these and no others. What is no longer wanted is forgotten."""
        for name in self._informers.keys() - names:
            del self._informers[name]
            self._entries.pop(name, None)
            self._tasks.pop(name).cancel()
        for name in sorted(names - self._informers.keys()):
            informer = Informer(
                self._server,
                SECRETS,
                namespace=self._namespace,
                field_selector=f"metadata.name={name}",
                on_change=self._take,
            )
            self._informers[name] = informer
            self._tasks[name] = asyncio.create_task(informer.run(), name=f"watch of Secret {name}")

    def get(self, name: str) -> Mapping[str, bytes] | None:
        """The Secret's entries: the same object until the Secret changes; None: absent or not seen yet."""
        return self._entries.get(name)

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        self.want(frozenset())
        await asyncio.gather(*tasks, return_exceptions=True)

    def _take(self, secret: Manifest) -> None:
        name = secret["metadata"]["name"]
        informer = self._informers.get(name)
        # None: the last words of a watch that is being cancelled.
        if informer is None:
            return
        if informer.get(self._namespace, name) is None:
            self._entries.pop(name, None)
        else:
            self._entries[name] = _decoded(secret)
        self._on_change()


def _decoded(secret: Manifest) -> dict[str, bytes]:
    """Entries that are no base64 cannot come from an API server; they are left out."""
    entries: dict[str, bytes] = {}
    for name, value in (secret.get("data") or {}).items():
        try:
            entries[name] = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError, TypeError):
            continue
    return entries
