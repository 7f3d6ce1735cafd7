"""The engine's HTTP app on a real loopback socket, inside the test's event loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fake_engine import FakeEngine

from octavo_engine.server.app import create_app
from octavo_engine.server.chat_template import ChatTemplate
from octavo_engine.server.http_server import HttpServer, listening_socket
from octavo_engine.server.lifecycle import Lifecycle
from octavo_engine.server.served_model import ServedModel
from octavo_engine.server.settings import ServerSettings
from octavo_engine.server.text_codec import TextCodec

SETTINGS = ServerSettings(served_names=("tiny", "tiny-alias"))
TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}<|turn|>\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


@dataclass(frozen=True, kw_only=True)
class RunningServer:
    lifecycle: Lifecycle
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def served_model(engine: FakeEngine, codec: TextCodec, *, has_template: bool = True) -> ServedModel:
    return ServedModel(
        names=("tiny", "tiny-alias"),
        engine=engine,
        codec=codec,
        chat_template=ChatTemplate(TEMPLATE, {}) if has_template else None,
        created=1_700_000_000,
    )


@contextlib.asynccontextmanager
async def running_server(settings: ServerSettings, model: ServedModel | None) -> AsyncIterator[RunningServer]:
    """`model` None leaves the server loading."""
    lifecycle = Lifecycle(settings.drain)
    if model is not None:
        lifecycle.become_ready(model)
    listener: socket.socket = listening_socket("127.0.0.1", 0)
    server = HttpServer(create_app(settings, lifecycle))
    serving = asyncio.create_task(server.serve_on(listener))
    try:
        yield RunningServer(lifecycle=lifecycle, port=listener.getsockname()[1])
    finally:
        server.stop()
        await serving
