"""How the memory of a device is shared out: weights, the work of a step, and the KV cache out of the rest.

Pure: `octavo check` foretells with these functions what loading then does.
"""

from octavo_engine.config import CacheConfig, EngineConfig, SchedulerConfig
from octavo_engine.errors import OutOfMemory
from octavo_engine.models.model_facts import ModelFacts
from octavo_engine.models.spec import DecoderSpec
from octavo_engine.worker.cache_size import MIB, CacheSize, fit_cache
from octavo_engine.worker.device_memory import DeviceMemory

UNLIMITED_HOST_BYTES = 4 << 30
"""On a machine that sets no limit we share it with others: a cache as large as memory would be rude."""


RUNTIME_BYTES = 256 * MIB
"""What Python, PyTorch 2.13 and a tokenizer hold on a CPU beside weights and KV cache; measured."""


def with_engine(memory: DeviceMemory, facts: ModelFacts) -> DeviceMemory:
    """As the memory will be with weights and rotary tables loaded, out of what it is before."""
    # On a GPU its context is held already, because PyTorch had to be asked for the memory.
    runtime = max(0, RUNTIME_BYTES - memory.held) if memory.device == "cpu" else 0
    return memory.holding(runtime + facts.weights_bytes + facts.rope_bytes)


def check_weights_fit(facts: ModelFacts, cache: CacheConfig, memory: DeviceMemory) -> None:
    """Say so before minutes of loading end with the process being killed."""
    have = memory.offered * cache.memory_percent // 100
    if facts.weights_bytes > have:
        raise OutOfMemory(
            f"the weights take {facts.weights_bytes // MIB} MiB and the {memory.device} offers "
            f"{have // MIB} MiB ({cache.memory_percent}%): give the engine more memory or choose a smaller "
            "model or dtype"
        )


def cache_size(facts: ModelFacts, config: EngineConfig, memory: DeviceMemory) -> CacheSize:
    """`memory` as it is with the weights loaded."""
    return fit_cache(
        budget_bytes=kv_cache_budget(facts, config, memory),
        block_bytes=config.cache.block_size * facts.kv_bytes_per_token,
        block_size=config.cache.block_size,
        max_model_len=facts.max_model_len,
        max_num_seqs=config.scheduler.max_num_seqs,
    )


def kv_cache_budget(facts: ModelFacts, config: EngineConfig, memory: DeviceMemory) -> int:
    cache = config.cache
    step = step_bytes(facts.spec, facts.itemsize, config.scheduler)
    budget = memory.free_share(cache.memory_percent) - step
    if cache.memory_bytes is not None:
        if cache.memory_bytes > budget:
            raise OutOfMemory(
                f"--kv-cache-memory asks for {cache.memory_bytes // MIB} MiB and {max(0, budget) // MIB} MiB "
                "are left beside the weights: ask for less or give the engine more memory"
            )
        return cache.memory_bytes
    if memory.limit is None:
        one_context = (facts.max_model_len + cache.block_size) * facts.kv_bytes_per_token
        return min(budget, max(UNLIMITED_HOST_BYTES, one_context))
    return budget


def step_bytes(spec: DecoderSpec, itemsize: int, scheduler: SchedulerConfig) -> int:
    """An upper estimate of what one step holds at once: a layer's activations, and float32 logits thrice."""
    widest = 4 * spec.hidden_size + 3 * spec.intermediate_size
    activations = scheduler.max_num_batched_tokens * widest * max(itemsize, 4)
    logits = scheduler.max_num_seqs * spec.vocab_size * 4 * 3
    return activations + logits
