"""Puts an engine's core together from its config: the one place where decisions meet tensors."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from octavo_engine.config import EngineConfig
from octavo_engine.core.engine_core import EngineCore
from octavo_engine.errors import AcceleratorFault, OutOfMemory
from octavo_engine.exactness import exactness
from octavo_engine.layers.torch_ops import KVCaches
from octavo_engine.messages import EngineInfo
from octavo_engine.models.decoder import Decoder
from octavo_engine.models.linear_loader import LinearLoader
from octavo_engine.models.model_facts import ModelFacts, read_model_facts
from octavo_engine.models.packed_cache import PackedCache
from octavo_engine.models.weights import TORCH_DTYPES, Target, open_checkpoint
from octavo_engine.prefill_limit import cpu_prefill_tokens
from octavo_engine.worker.cache_size import CacheSize
from octavo_engine.worker.device_memory import DeviceKind, DeviceMemory, choose_device, read_memory
from octavo_engine.worker.host_limits import num_usable_cpus
from octavo_engine.worker.kv_tensors import allocate_kv_caches
from octavo_engine.worker.memory_budget import cache_size, check_weights_fit, with_engine
from octavo_engine.worker.model_runner import Model, ModelRunner
from octavo_engine.worker.program_model import ProgramModel, unsupported_by_native
from octavo_engine.worker.torch_model import TorchModel
from octavo_kernels.native.library import NativeLibrary, load_native

logger = logging.getLogger(__name__)

DEPTH: dict[DeviceKind, int] = {"cpu": 1, "cuda": 2}
"""Steps in flight: a GPU computes one while the host prepares the next; a CPU would compete with itself."""

MemoryReader = Callable[[DeviceKind], DeviceMemory]
LibraryLoader = Callable[[int], NativeLibrary | None]
"""From a number of threads to the compiled kernels; None where there are none."""


def load_core(
    config: EngineConfig, memory: MemoryReader = read_memory, native: LibraryLoader = load_native
) -> EngineCore:
    """Read the model and make its engine. Raises the errors of `errors`, whose messages are for the user."""
    started = time.monotonic()
    device = choose_device(config.device, has_cuda=torch.cuda.is_available())
    try:
        core = _load_core(config, device, memory, native)
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(f"the {device} device ran out of memory while loading: {error}") from error
    except torch.AcceleratorError as error:
        raise AcceleratorFault(f"the {device} device failed while loading: {error}") from error
    logger.info(
        "loaded %s on %s as %s in %.1f s: context %d, %d blocks of %d tokens",
        config.model.path,
        core.info.device,
        core.info.dtype,
        time.monotonic() - started,
        core.info.max_model_len,
        core.info.num_blocks,
        core.info.block_size,
    )
    return core


def _load_core(
    config: EngineConfig, device: DeviceKind, memory: MemoryReader, load_library: LibraryLoader
) -> EngineCore:
    facts = read_model_facts(config.model)
    target = Target(torch.device(device), TORCH_DTYPES[facts.dtype])
    before = memory(device)
    check_weights_fit(facts, config.cache, before)
    native = _native(facts, target, load_library)
    if device == "cpu":
        # Beside our own threads PyTorch's would only spin.
        torch.set_num_threads(1 if native else num_usable_cpus())
    packed = PackedCache(config.model.path, target.dtype) if native and config.model.packed_cache else None
    with open_checkpoint(config.model.path, target) as checkpoint:
        linears = LinearLoader(checkpoint, native, packed)
        decoder = Decoder(facts.spec, checkpoint, linears, max_positions=facts.max_model_len)
    if packed is not None:
        packed.save()
    # Mapped weights are not measured as held, and what nobody foresaw is not planned: the worse one counts.
    size = cache_size(facts, config, with_engine(before, facts).tightest(memory(device)))
    _warn_of_lowered_context(facts, size)
    block_size = config.cache.block_size
    kv_caches = allocate_kv_caches(facts.spec, size.num_blocks, block_size, target.dtype, target.device)
    model = _model(config, decoder, kv_caches, native, target.device)
    info = EngineInfo(
        max_model_len=size.max_model_len,
        vocab_size=facts.spec.vocab_size,
        block_size=block_size,
        num_blocks=size.num_blocks,
        dtype=facts.dtype,
        device=device,
        eos_token_ids=facts.eos_token_ids,
        exactness=exactness(config.model.path, facts, size.max_model_len, block_size, native),
    )
    scheduler = config.scheduler
    if device == "cpu" and scheduler.max_num_prefill_tokens is None:
        limit = cpu_prefill_tokens(facts.spec, num_usable_cpus())
        scheduler = replace(scheduler, max_num_prefill_tokens=limit)
    return EngineCore(info, scheduler, ModelRunner(model), depth=DEPTH[device], seed=config.seed)


def _warn_of_lowered_context(facts: ModelFacts, size: CacheSize) -> None:
    if size.max_model_len < facts.max_model_len:
        logger.warning(
            "max_model_len lowered from %d to %d: the KV cache of %d blocks holds no longer context",
            facts.max_model_len,
            size.max_model_len,
            size.num_blocks,
        )


def _native(facts: ModelFacts, target: Target, load_library: LibraryLoader) -> NativeLibrary | None:
    """The compiled kernels where they can compute this model on this device."""
    if target.device.type != "cpu":
        return None
    problem = unsupported_by_native(facts.spec, target.dtype)
    if problem is not None:
        logger.warning("no compiled CPU kernels for %s; PyTorch's run instead, slower", problem)
        return None
    native = load_library(num_usable_cpus())
    if native is not None:
        logger.info("CPU kernels for %s, %d threads", native.instruction_set.name, native.num_threads)
    return native


def _model(
    config: EngineConfig,
    decoder: Decoder,
    kv_caches: KVCaches,
    native: NativeLibrary | None,
    device: torch.device,
) -> Model:
    scheduler = config.scheduler
    if native is None:
        return TorchModel(
            decoder, kv_caches,
            block_size=config.cache.block_size, max_num_seqs=scheduler.max_num_seqs, device=device,
        )  # fmt: skip
    return ProgramModel(
        decoder, kv_caches, native,
        max_tokens=scheduler.max_num_batched_tokens, max_sampled=scheduler.max_num_seqs,
    )  # fmt: skip
