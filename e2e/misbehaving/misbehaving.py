"""`octavo` as a broken release would be: the real engine, with one fault or several laid around it.

The environment variable MISBEHAVE says which, separated by commas:
  crash:30          the process exits with 1 after 30 s of serving, each time that it is started
  slow:1.5          each answer's first byte comes 1.5 s late; what follows is untouched
  errors:50         half of the requests are answered with status 500
  breaks:50         half of the answers end after their head, before a single event
  unready           it serves and never says that it is ready
  fake-accelerator  `--device cuda` means the CPU, so that an accelerator can be one in name only
Everything else is the engine's own: its commands, its tokens, its other probes.
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from octavo_engine import cli

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from octavo_engine.server.lifecycle import Lifecycle
    from octavo_engine.server.settings import ServerSettings

VARIABLE: Final = "MISBEHAVE"
EXIT_CRASHED = 1
FAKE_ACCELERATOR = "fake-accelerator"
KNOWN = frozenset({"crash", "slow", "errors", "breaks", "unready", FAKE_ACCELERATOR})
BODY = b'{"error": {"message": "misbehaving on demand", "type": "server_error", "code": "misbehaving"}}'


def main() -> int:
    faults = read(os.environ.get(VARIABLE, ""))
    arguments = sys.argv[1:]
    if FAKE_ACCELERATOR in faults:
        arguments = on_the_cpu(arguments)
    if arguments[:1] == ["serve"]:
        lay_around_the_server(faults)
    return cli.main(arguments)


def read(text: str) -> dict[str, float]:
    """`slow:1.5,fake-accelerator` as {"slow": 1.5, "fake-accelerator": 0}."""
    pairs = [word.strip().partition(":") for word in text.split(",") if word.strip()]
    faults = {name: float(amount or 0) for name, _, amount in pairs}
    if unknown := faults.keys() - KNOWN:
        sys.exit(
            f"{VARIABLE}: there is no {', '.join(sorted(unknown))}; there are {', '.join(sorted(KNOWN))}"
        )
    return faults


def on_the_cpu(arguments: Sequence[str]) -> list[str]:
    before = ("", *arguments)
    return [
        "cpu" if pair == ("--device", "cuda") else pair[1] for pair in zip(before, arguments, strict=False)
    ]


def lay_around_the_server(faults: Mapping[str, float]) -> None:
    from octavo_engine import serve
    from octavo_engine.server.app import create_app

    def create(settings: "ServerSettings", lifecycle: "Lifecycle") -> "ASGIApp":
        if "crash" in faults:
            crash = (lifecycle, faults["crash"])
            threading.Thread(target=crash_after_serving, args=crash, daemon=True).start()
        return FaultyApp(create_app(settings, lifecycle), faults)

    vars(serve)["create_app"] = create


def crash_after_serving(lifecycle: "Lifecycle", seconds: float) -> None:
    while not lifecycle.is_ready:
        time.sleep(0.1)
    time.sleep(seconds)
    print(f"misbehaving: crashed on demand after {seconds:g} s of serving", file=sys.stderr, flush=True)
    os._exit(EXIT_CRASHED)


class FaultyApp:
    """Around the whole application."""

    def __init__(self, app: "ASGIApp", faults: Mapping[str, float]) -> None:
        self._app = app
        self._delay = faults.get("slow", 0.0)
        self._errors = Share(faults.get("errors", 0.0))
        self._breaks = Share(faults.get("breaks", 0.0))
        self._is_unready = "unready" in faults

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] == "http" and scope["path"] == "/ready" and self._is_unready:
            await refuse(send, 503)
        elif scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
        elif self._errors.takes_this():
            await refuse(send, 500)
        elif self._breaks.takes_this():
            # Returning now makes the server close the connection.
            await send(head(200, b"text/event-stream; charset=utf-8"))
        else:
            await self._app(scope, receive, self._late(send))

    def _late(self, send: "Send") -> "Send":
        async def late(message: "Message") -> None:
            if message["type"] == "http.response.start":
                await asyncio.sleep(self._delay)
            await send(message)

        return late


class Share:
    """Takes so many of a hundred, evenly spread."""

    def __init__(self, percent: float) -> None:
        self._percent = percent
        self._sum = 0.0

    def takes_this(self) -> bool:
        self._sum += self._percent
        if self._sum < 100:
            return False
        self._sum -= 100
        return True


async def refuse(send: "Send", status: int) -> None:
    await send(head(status, b"application/json", len(BODY)))
    await send({"type": "http.response.body", "body": BODY})


def head(status: int, content_type: bytes, length: int | None = None) -> "Message":
    headers = [(b"content-type", content_type)]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    return {"type": "http.response.start", "status": status, "headers": headers}
