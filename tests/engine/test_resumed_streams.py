"""Two engines, one stream: wherever it breaks, what the second sends is what the first would have sent.

The tiny model's text is noise, so characters break within tokens and become U+FFFD as often as not. The
second engine cuts prompts into other chunks, has other requests beside, and a prefix cache of its own.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gateway_stream import TOKEN, Event, resume_of, said, stream
from http_server import SETTINGS, running_server
from tiny_model import make_tiny_model

from octavo_engine.config import CacheConfig, EngineConfig, ModelConfig, SchedulerConfig
from octavo_engine.engine_thread import load_engine
from octavo_engine.server.chat_template import read_chat_template
from octavo_engine.server.served_model import ServedModel
from octavo_engine.server.settings import ServerSettings
from octavo_engine.server.text_codec import read_text_codec

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "Name three colours."}], "max_tokens": 40}
PROMPT = {"model": "tiny", "prompt": "Once upon a time there were", "max_tokens": 40}
USAGE = {"stream_options": {"include_usage": True}}
DRAWN = {"temperature": 1.1, "top_p": 0.9, "top_k": 60}
PENALTIES = {"presence_penalty": 0.7, "frequency_penalty": 0.4, "repetition_penalty": 1.2}
BODIES = [
    CHAT | USAGE | {"temperature": 0},
    CHAT | DRAWN | {"logprobs": True, "top_logprobs": 3},
    CHAT | DRAWN | PENALTIES | USAGE | {"n": 2, "seed": 5, "logprobs": True},
    PROMPT | DRAWN | {"logprobs": 2, "min_p": 0.01, "min_tokens": 30, "stop": ["a", "e", "s"]},
    PROMPT | DRAWN | USAGE | {"prompt": ["One", "two and"], "n": 2, "echo": True, "stop": ["\ufffd\ufffd"]},
    PROMPT | PENALTIES | {"temperature": 0, "ignore_eos": True, "max_tokens": 70},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("resumed"), num_layers=2)


@contextlib.asynccontextmanager
async def serving(folder: Path, dtype: str, settings: ServerSettings, **scheduler: int) -> AsyncIterator[str]:
    """The address of a server with an engine of its own."""
    engine = load_engine(
        EngineConfig(
            model=ModelConfig(path=folder, dtype=dtype, max_model_len=512),  # type: ignore[arg-type]
            cache=CacheConfig(memory_bytes=4 << 20),
            scheduler=SchedulerConfig(**scheduler),
            device="cpu",
        )
    )
    model = ServedModel(
        names=("tiny",), engine=engine, codec=read_text_codec(folder),
        chat_template=read_chat_template(folder), created=0,
    )  # fmt: skip
    try:
        async with running_server(settings, model) as server:
            yield server.url
    finally:
        engine.shutdown()


@pytest.fixture(params=["float32", "bfloat16"])
async def servers(
    request: pytest.FixtureRequest, folder: Path, tmp_path: Path
) -> AsyncIterator[tuple[str, str]]:
    (tmp_path / "token").write_text(TOKEN)
    settings = replace(SETTINGS, served_names=("tiny",), gateway_token_file=tmp_path / "token")
    async with (
        serving(folder, request.param, settings) as first,
        serving(folder, request.param, settings, max_num_batched_tokens=24, max_num_seqs=16) as second,
    ):
        yield first, second


def cuts(events: list[Event]) -> range:
    """Behind each event after which the gateway lacks more than [DONE]."""
    (end,) = (n for n, event in enumerate(events) if event.comment is not None and "usage" in event.comment)
    return range(1, end + 1)


async def test_a_stream_cut_behind_any_event_goes_on_bit_for_bit(servers: tuple[str, str]) -> None:
    first, second = servers
    num_cuts = 0
    for body in BODIES:
        whole = await stream(first, body)

        async def goes_on(cut: int, body: dict[str, Any] = body, whole: list[Event] = whole) -> None:
            resumed = body | {"octavo_resume": resume_of(whole[:cut])}
            assert said([*whole[:cut], *await stream(second, resumed)]) == said(whole), (body, cut)

        # Together, so that each has a batch of its own.
        await asyncio.gather(*map(goes_on, cuts(whole)))
        num_cuts += len(cuts(whole))
    assert num_cuts > 150


async def test_a_stream_that_breaks_many_times_ends_bit_for_bit(servers: tuple[str, str]) -> None:
    dice = random.Random(4)
    for body in BODIES:
        whole = await stream(servers[0], body)
        events = (await stream(servers[1], body | {"octavo_resume": resume_of(whole[:1])}))[:1]
        for _ in range(20):
            more = await stream(dice.choice(servers), body | {"octavo_resume": resume_of(events)})
            end = dice.randint(2, 9)
            if end >= len(more) - 1:
                events += more
                break
            events += more[:end]
        else:
            events += await stream(servers[0], body | {"octavo_resume": resume_of(events)})
        assert said(events) == said(whole), body


async def test_another_seed_would_be_seen(servers: tuple[str, str]) -> None:
    """The comparison is sharp."""
    body = BODIES[1]
    whole = await stream(servers[0], body)
    resume = resume_of(whole[:5])
    resume["choices"][0]["seed"] ^= 1
    after = await stream(servers[1], body | {"octavo_resume": resume})
    assert said([*whole[:5], *after]) != said(whole)
