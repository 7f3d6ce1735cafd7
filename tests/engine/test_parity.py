"""Greedy tokens are those of `transformers`, whatever shape our batches take."""

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from reference_model import reference_logits, reference_tokens
from safetensors.torch import load_file, save_file
from tiny_model import VOCAB_SIZE, make_tiny_model

from octavo_engine.config import CacheConfig, EngineConfig, ModelConfig, SchedulerConfig
from octavo_engine.llm import LLM
from octavo_engine.messages import SamplingParams

GREEDY = SamplingParams(max_tokens=64, temperature=0.0, ignore_eos=True)
Answers = list[tuple[int, ...]]


def config(folder: Path, **scheduler: int) -> EngineConfig:
    return EngineConfig(
        model=ModelConfig(path=folder, dtype="float32"),
        cache=CacheConfig(memory_bytes=64 << 20),
        scheduler=SchedulerConfig(**scheduler),
        device="cpu",
    )


def generate(engine_config: EngineConfig, prompts: list[list[int]], max_tokens: int = 64) -> Answers:
    sampling = SamplingParams(max_tokens=max_tokens, temperature=0.0, ignore_eos=True)
    return [answer.token_ids for answer in LLM(engine_config).generate(prompts, [sampling] * len(prompts))]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny matrices gain nothing from a second thread, and lose much where another process wants its core."""
    cpus, num_threads = os.sched_getaffinity(0), torch.get_num_threads()
    os.sched_setaffinity(0, {min(cpus)})
    torch.set_num_threads(1)
    yield
    os.sched_setaffinity(0, cpus)
    torch.set_num_threads(num_threads)


def random_prompts(vocab_size: int, count: int = 16, longest: int = 100) -> list[list[int]]:
    dice = random.Random(1)
    return [[dice.randrange(3, vocab_size) for _ in range(dice.randint(1, longest))] for _ in range(count)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


PROMPTS = random_prompts(VOCAB_SIZE)


@pytest.fixture(scope="module")
def expected(tiny: Path) -> Answers:
    return reference_tokens(tiny, PROMPTS, 64)


def test_sixteen_prompts_together_equal_transformers(tiny: Path, expected: Answers) -> None:
    assert generate(config(tiny), PROMPTS) == expected


def test_each_prompt_alone_equals_transformers(tiny: Path, expected: Answers) -> None:
    llm = LLM(config(tiny))
    assert [llm.generate([prompt], [GREEDY])[0].token_ids for prompt in PROMPTS] == expected


def test_prompts_in_small_chunks_equal_transformers(tiny: Path, expected: Answers) -> None:
    assert generate(config(tiny, max_num_batched_tokens=20, max_num_seqs=8), PROMPTS) == expected


def test_a_cache_too_small_for_all_preempts_and_still_equals_transformers(
    tiny: Path, expected: Answers
) -> None:
    block_bytes = 16 * 2 * 3 * 2 * 16 * 4
    cache = CacheConfig(memory_bytes=24 * block_bytes)
    llm = LLM(replace(config(tiny), cache=cache, model=ModelConfig(path=tiny, max_model_len=192)))
    answers = llm.generate(PROMPTS, [GREEDY] * len(PROMPTS))
    assert llm.core.stats().num_preemptions > 0
    assert [answer.token_ids for answer in answers] == expected


def test_a_prompt_from_the_prefix_cache_equals_transformers(tiny: Path, expected: Answers) -> None:
    llm = LLM(config(tiny))
    for _ in range(2):
        answers = llm.generate(PROMPTS, [GREEDY] * len(PROMPTS))
        assert [answer.token_ids for answer in answers] == expected
    assert sum(answer.num_cached_tokens for answer in answers) > 400


def test_pytorch_s_operations_equal_transformers_where_nothing_is_compiled(
    tiny: Path, expected: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octavo_kernels.native.library.supported_instruction_sets", lambda: [])
    assert generate(config(tiny, max_num_batched_tokens=40, max_num_seqs=8), PROMPTS) == expected


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"tie_word_embeddings": True}, id="tied embeddings"),
        pytest.param({"attention_bias": True, "mlp_bias": True}, id="biases"),
        pytest.param({"head_dim": 8}, id="heads narrower than hidden"),
        pytest.param({"num_key_value_heads": 4}, id="a key head for each query head"),
        pytest.param(
            {"rope_parameters": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 4.0}},
            id="linear rope",
        ),
        pytest.param(
            {
                "rope_parameters": {
                    "rope_type": "llama3",
                    "rope_theta": 10000.0,
                    "factor": 8.0,
                    "low_freq_factor": 1.0,
                    "high_freq_factor": 4.0,
                    "original_max_position_embeddings": 64,
                }
            },
            id="llama3 rope",
        ),
    ],
)
def test_every_switch_of_the_family_equals_transformers(settings: dict[str, Any], tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path, seed=3, **settings)
    if settings.get("attention_bias"):
        randomize_biases(folder / "model.safetensors")
    prompts = PROMPTS[:4]
    assert generate(config(folder), prompts, 32) == reference_tokens(folder, prompts, 32)


def randomize_biases(path: Path) -> None:
    """They start as zero, and zero would hide a bias that is left out."""
    torch.manual_seed(5)
    tensors = load_file(path)
    biased = {name: torch.randn_like(t) if name.endswith(".bias") else t for name, t in tensors.items()}
    save_file(biased, path, metadata={"format": "pt"})


def departures(folder: Path, prompts: list[list[int]]) -> tuple[int, int, float]:
    """Tokens said in bfloat16, those that are not the most likely by the same weights in float32, and by how
    many standard deviations of its logits the worst of these falls short."""
    bf16 = replace(config(folder), model=ModelConfig(path=folder, dtype="bfloat16"))
    num_tokens = num_different = 0
    worst = 0.0
    for prompt, answer in zip(prompts, generate(bf16, prompts, 32), strict=True):
        logits = reference_logits(folder, [*prompt, *answer], torch.float32)[len(prompt) - 1 : -1]
        shortfall = (logits.max(dim=-1).values - logits[range(len(answer)), list(answer)]) / logits.std(
            dim=-1
        )
        num_tokens += len(answer)
        num_different += int((shortfall > 0).sum())
        worst = max(worst, float(shortfall.max()))
    return num_tokens, num_different, worst


def test_bfloat16_departs_from_float32_only_at_near_ties(tmp_path: Path) -> None:
    folder = make_tiny_model(tmp_path, dtype=torch.bfloat16)
    num_tokens, num_different, worst = departures(folder, PROMPTS[:8])
    # Eight bits of mantissa through three layers of wide random weights move a logit by a tenth of the spread
    assert num_tokens == 256
    assert num_different < 0.1 * num_tokens
    assert worst < 0.3


def demo_model() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    default = Path(os.environ.get("OCTAVO_CACHE", cache / "octavo")) / "models/smollm2-135m-instruct"
    return Path(os.environ.get("OCTAVO_DEMO_MODEL", default))


@pytest.mark.model
def test_the_demo_model_equals_transformers() -> None:
    folder = demo_model()
    if not (folder / "config.json").exists():
        pytest.skip(f"{folder} does not exist; `make model` makes it")
    prompts = random_prompts(49152, longest=60)
    assert generate(config(folder), prompts) == reference_tokens(folder, prompts, 64)


@pytest.mark.model
def test_the_demo_model_in_bfloat16_departs_from_float32_only_at_near_ties() -> None:
    folder = demo_model()
    if not (folder / "config.json").exists():
        pytest.skip(f"{folder} does not exist; `make model` makes it")
    num_tokens, num_different, worst = departures(folder, random_prompts(49152, count=4, longest=60))
    assert num_different < 0.1 * num_tokens
    assert worst < 0.05
