"""The core on a thread of its own, seen from the server's event loop as `messages.Engine`."""

from octavo_engine.config import EngineConfig


class EngineThread:
    """Implements `messages.Engine`."""


def load_engine(config: EngineConfig) -> EngineThread:
    """Read the model and start the engine's thread; blocks for as long as that takes.

    Raises the errors of `errors.py`, whose messages are for the user.
    """
    raise NotImplementedError
