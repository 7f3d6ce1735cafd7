"""The default CPU mode's promise: a request's tokens and log probabilities have the same bits alone, in any
batch, from a cold or a warm prefix cache, with its prompt whole or in chunks, after a preemption, and where
another engine goes on with it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tiny_model import VOCAB_SIZE, make_tiny_model

from octavo_engine.config import CacheConfig, EngineConfig, ModelConfig, SchedulerConfig
from octavo_engine.core.engine_core import EngineCore
from octavo_engine.load import load_core
from octavo_engine.messages import AddRequest, SamplingParams, TokenLogprobs

BLOCK_SIZE = 16
DTYPES = ["float32", "bfloat16"]


@dataclass(frozen=True, slots=True)
class Said:
    """Everything that a client could see of an answer."""

    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprobs, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    prompt: tuple[int, ...]
    sampling: SamplingParams
    generated: tuple[int, ...] = ()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("exact"), num_layers=2)


def load(folder: Path, dtype: str, *, num_blocks: int = 512, **scheduler: int) -> EngineCore:
    block_bytes = BLOCK_SIZE * 2 * 2 * 2 * 16 * (4 if dtype == "float32" else 2)
    return load_core(
        EngineConfig(
            model=ModelConfig(path=folder, dtype=dtype, max_model_len=1024),  # type: ignore[arg-type]
            cache=CacheConfig(memory_bytes=num_blocks * block_bytes, block_size=BLOCK_SIZE),
            scheduler=SchedulerConfig(**scheduler),
            device="cpu",
        )
    )


def requests(count: int, dice: random.Random) -> list[Asked]:
    """Random prompts, some with a common beginning, some greedy, some drawn."""
    prefixes = [tuple(dice.randrange(3, VOCAB_SIZE) for _ in range(dice.randint(20, 90))) for _ in range(3)]
    asked = []
    for number in range(count):
        own = tuple(dice.randrange(3, VOCAB_SIZE) for _ in range(dice.randint(1, 60)))
        common = dice.choice([(), *prefixes])
        drawn = {"temperature": 0.9, "top_p": 0.95, "top_k": 40, "seed": number} if number % 2 else {}
        sampling = SamplingParams(
            **{"temperature": 0.0, **drawn},  # type: ignore[arg-type]
            max_tokens=dice.randint(5, 40), ignore_eos=True, num_logprobs=3,
            presence_penalty=0.5 if number % 5 == 0 else 0.0,
        )  # fmt: skip
        asked.append(Asked(common + own, sampling))
    return asked


def answer(core: EngineCore, asked: Sequence[Asked], dice: random.Random | None = None) -> list[Said]:
    """All of them; with `dice` they arrive while others run."""
    waiting = list(enumerate(asked))
    tokens: list[list[int]] = [[] for _ in asked]
    logprobs: list[list[TokenLogprobs]] = [[] for _ in asked]
    while waiting or core.has_work():
        arriving = len(waiting) if dice is None else min(len(waiting), dice.choice((0, 0, 1, 2)))
        for number, request in waiting[:arriving]:
            refusal = core.add(
                AddRequest(
                    request_id=str(number),
                    prompt_token_ids=request.prompt,
                    generated_token_ids=request.generated,
                    sampling=request.sampling,
                    arrival_time=0.0,
                )
            )
            assert refusal is None
        del waiting[:arriving]
        for message in core.step():
            assert message.error is None
            tokens[int(message.request_id)] += message.token_ids
            logprobs[int(message.request_id)] += message.logprobs
    return [Said(tuple(t), tuple(p)) for t, p in zip(tokens, logprobs, strict=True)]


@pytest.fixture(scope="module", params=DTYPES)
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


ASKED = requests(20, random.Random(7))
LONG = Asked(
    tuple(random.Random(8).randrange(3, VOCAB_SIZE) for _ in range(700)),
    SamplingParams(max_tokens=12, temperature=0.0, ignore_eos=True, num_logprobs=3),
)
"""Longer than the 512 positions of one split of attention."""


@pytest.fixture(scope="module")
def alone(folder: Path, dtype: str) -> list[Said]:
    """Each request in an engine that has seen no other."""
    said = []
    for request in ASKED:
        core = load(folder, dtype, num_blocks=40)
        said += answer(core, [request])
    assert all(len(one.logprobs) == len(one.token_ids) > 0 for one in said)
    return said


def test_all_at_once_equals_alone(folder: Path, dtype: str, alone: list[Said]) -> None:
    core = load(folder, dtype)
    assert answer(core, ASKED) == alone
    assert core.stats().prefix_cache_hits > 0


@pytest.mark.parametrize("seed", range(3))
def test_any_mix_of_arrivals_equals_alone(folder: Path, dtype: str, alone: list[Said], seed: int) -> None:
    dice = random.Random(seed)
    order = dice.sample(range(len(ASKED)), len(ASKED))
    said = answer(load(folder, dtype), [ASKED[i] for i in order], dice)
    assert said == [alone[i] for i in order]


def test_a_warm_prefix_cache_equals_a_cold_one(folder: Path, dtype: str, alone: list[Said]) -> None:
    core = load(folder, dtype)
    for _ in range(2):
        hits = core.stats().prefix_cache_hits
        assert answer(core, ASKED) == alone
    assert core.stats().prefix_cache_hits - hits > 500


@pytest.mark.parametrize("max_num_batched_tokens", [8, 37])
def test_prompts_in_chunks_equal_whole_ones(
    folder: Path, dtype: str, alone: list[Said], max_num_batched_tokens: int
) -> None:
    core = load(folder, dtype, max_num_batched_tokens=max_num_batched_tokens, max_num_seqs=8)
    assert answer(core, ASKED) == alone


def test_a_preempted_request_equals_one_left_in_peace(folder: Path, dtype: str, alone: list[Said]) -> None:
    core = load(folder, dtype, num_blocks=18)
    assert answer(core, ASKED) == alone
    assert core.stats().num_preemptions > 0


def test_an_engine_that_goes_on_with_another_s_requests_equals_one_that_did_all(
    folder: Path, dtype: str, alone: list[Said]
) -> None:
    dice = random.Random(3)
    cuts = [dice.randrange(len(said.token_ids)) for said in alone]
    resumed = [
        replace(asked, generated=said.token_ids[:cut])
        for asked, said, cut in zip(ASKED, alone, cuts, strict=True)
    ]
    rest = [Said(said.token_ids[cut:], said.logprobs[cut:]) for said, cut in zip(alone, cuts, strict=True)]
    assert answer(load(folder, dtype, max_num_batched_tokens=37, max_num_seqs=8), resumed, dice) == rest


def test_other_neighbours_change_nothing(folder: Path, dtype: str, alone: list[Said]) -> None:
    strangers = requests(30, random.Random(99))
    mixed = [request for pair in zip(ASKED, strangers, strict=False) for request in pair]
    said = answer(load(folder, dtype), mixed, random.Random(5))
    assert said[::2] == alone


def test_a_long_prompt_is_exact_across_the_splits_of_attention(folder: Path, dtype: str) -> None:
    (alone,) = answer(load(folder, dtype), [LONG])
    core = load(folder, dtype, max_num_batched_tokens=50, max_num_seqs=8)
    for _ in range(2):  # the second time from the prefix cache
        assert answer(core, [ASKED[0], LONG, ASKED[1]], random.Random(1))[1] == alone


def test_another_seed_would_be_seen(folder: Path, alone: list[Said], dtype: str) -> None:
    """The comparison is sharp: one changed setting changes what is said."""
    changed = replace(ASKED[1], sampling=SamplingParams(**(_fields(ASKED[1].sampling) | {"seed": 12345})))
    assert answer(load(folder, dtype), [changed]) != [alone[1]]


def _fields(sampling: SamplingParams) -> dict[str, object]:
    return {name: getattr(sampling, name) for name in sampling.__struct_fields__}
