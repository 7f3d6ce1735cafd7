"""How many bytes a KV cache may take on this device, beside the weights and the work of a step."""

import torch

from octavo_engine.config import CacheConfig, SchedulerConfig
from octavo_engine.errors import OutOfMemory
from octavo_engine.models.spec import DecoderSpec
from octavo_engine.worker import host_limits
from octavo_engine.worker.cache_size import MIB

UNLIMITED_HOST_BYTES = 4 << 30
"""On a machine that sets no limit we share it with others: a cache as large as memory would be rude."""


def check_weights_fit(spec: DecoderSpec, itemsize: int, cache: CacheConfig, device: torch.device) -> None:
    """Say so before minutes of loading end with the process being killed."""
    need = spec.num_parameters * itemsize
    have = _device_bytes(device) * cache.memory_percent // 100
    if need > have:
        raise OutOfMemory(
            f"the weights take {need // MIB} MiB and the {device.type} offers {have // MIB} MiB "
            f"({cache.memory_percent}%): give the engine more memory or choose a smaller model or dtype"
        )


def kv_cache_budget(
    spec: DecoderSpec,
    itemsize: int,
    cache: CacheConfig,
    scheduler: SchedulerConfig,
    device: torch.device,
    max_model_len: int,
) -> int:
    """Call it with the weights loaded."""
    budget = _free_share(cache.memory_percent, device) - step_bytes(spec, itemsize, scheduler)
    if cache.memory_bytes is not None:
        if cache.memory_bytes > budget:
            raise OutOfMemory(
                f"--kv-cache-memory asks for {cache.memory_bytes // MIB} MiB and {max(0, budget) // MIB} MiB "
                "are left beside the weights: ask for less or give the engine more memory"
            )
        return cache.memory_bytes
    if device.type == "cpu" and host_limits.memory_limit() is None:
        one_context = (max_model_len + cache.block_size) * spec.kv_bytes_per_token(itemsize)
        return min(budget, max(UNLIMITED_HOST_BYTES, one_context))
    return budget


def step_bytes(spec: DecoderSpec, itemsize: int, scheduler: SchedulerConfig) -> int:
    """An upper estimate of what one step holds at once: a layer's activations, and float32 logits thrice."""
    widest = 4 * spec.hidden_size + 3 * spec.intermediate_size
    activations = scheduler.max_num_batched_tokens * widest * max(itemsize, 4)
    logits = scheduler.max_num_seqs * spec.vocab_size * 4 * 3
    return activations + logits


def _device_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    return host_limits.memory_limit() or host_limits.available_memory()


def _free_share(percent: int, device: torch.device) -> int:
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return total * percent // 100 - (total - free)
    limit, available = host_limits.memory_limit(), host_limits.available_memory()
    if limit is None:
        return available * percent // 100
    return min(limit * percent // 100 - host_limits.own_memory(), available)
