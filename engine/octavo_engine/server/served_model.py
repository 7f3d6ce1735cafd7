"""A loaded model as the routes see it: names, engine, and what turns text into tokens and back."""

from dataclasses import dataclass

from octavo_engine.messages import Engine
from octavo_engine.server.chat_template import ChatTemplate
from octavo_engine.server.errors import NotFound
from octavo_engine.server.text_codec import TextCodec


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedModel:
    names: tuple[str, ...]
    engine: Engine
    codec: TextCodec
    chat_template: ChatTemplate | None
    created: int
    """Unix seconds of the moment it was ready."""

    def check_name(self, name: str) -> None:
        if name not in self.names:
            served = ", ".join(self.names)
            raise NotFound(
                f"the model `{name}` does not exist; this server has: {served}",
                param="model",
                code="model_not_found",
            )
