"""From a source to a model that can be asked: its text, then its engine."""

import gc
import time
from dataclasses import replace

from octavo_engine.config import EngineConfig
from octavo_engine.server.chat_template import read_chat_template
from octavo_engine.server.served_model import ServedModel
from octavo_engine.server.text_codec import read_text_codec
from octavo_engine.sources import HubAccess, resolve_source


def load_model(source: str, hub: HubAccess, config: EngineConfig, names: tuple[str, ...]) -> ServedModel:
    """Fetch, read and load; blocks. Text comes first, because it fails faster than weights."""
    from octavo_engine.engine_thread import load_engine  # torch takes seconds to import

    folder = resolve_source(source, hub)
    codec = read_text_codec(folder)
    chat_template = read_chat_template(folder)
    engine = load_engine(replace(config, model=replace(config.model, path=folder)))
    # What is loaded stays: no collection need walk PyTorch's many objects while clients wait for a token.
    gc.collect()
    gc.freeze()
    return ServedModel(
        names=names, engine=engine, codec=codec, chat_template=chat_template, created=int(time.time())
    )
