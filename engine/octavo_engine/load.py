"""Puts an engine's core together from its config: the one place where decisions meet tensors."""

import logging
import time
from dataclasses import dataclass

import torch

from octavo_engine.config import EngineConfig, ModelConfig
from octavo_engine.core.engine_core import EngineCore
from octavo_engine.errors import AcceleratorFault, InvalidEngineConfig, ModelNotFound, OutOfMemory
from octavo_engine.messages import EngineInfo
from octavo_engine.models.decoder import Decoder
from octavo_engine.models.hf_config import DTYPES, HFConfig, read_eos_token_ids
from octavo_engine.models.registry import decoder_spec
from octavo_engine.models.spec import DecoderSpec
from octavo_engine.models.weights import Target, open_checkpoint
from octavo_engine.worker.cache_size import CacheSize, fit_cache
from octavo_engine.worker.host_limits import num_usable_cpus
from octavo_engine.worker.kv_tensors import allocate_kv_caches
from octavo_engine.worker.memory_budget import check_weights_fit, kv_cache_budget
from octavo_engine.worker.model_runner import ModelRunner

logger = logging.getLogger(__name__)

DEPTH = {"cpu": 1, "cuda": 2}
"""Steps in flight: a GPU computes one while the host prepares the next; a CPU would compete with itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    spec: DecoderSpec
    target: Target
    max_model_len: int
    eos_token_ids: tuple[int, ...]


def load_core(config: EngineConfig) -> EngineCore:
    """Read the model and make its engine. Raises the errors of `errors`, whose messages are for the user."""
    started = time.monotonic()
    device = _device(config)
    if device.type == "cpu":
        torch.set_num_threads(num_usable_cpus())
    try:
        core = _load_core(config, device)
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(f"the {device.type} device ran out of memory while loading: {error}") from error
    except torch.AcceleratorError as error:
        raise AcceleratorFault(f"the {device.type} device failed while loading: {error}") from error
    logger.info(
        "loaded %s on %s as %s in %.1f s: context %d, %d blocks of %d tokens, %d CPU threads",
        config.model.path,
        core.info.device,
        core.info.dtype,
        time.monotonic() - started,
        core.info.max_model_len,
        core.info.num_blocks,
        core.info.block_size,
        torch.get_num_threads(),
    )
    return core


def _load_core(config: EngineConfig, device: torch.device) -> EngineCore:
    model = _read_model(config.model, device)
    itemsize = model.target.dtype.itemsize
    check_weights_fit(model.spec, itemsize, config.cache, device)
    with open_checkpoint(config.model.path, model.target) as checkpoint:
        decoder = Decoder(model.spec, checkpoint)
    size = _cache_size(config, model)
    block_size = config.cache.block_size
    runner = ModelRunner(
        decoder,
        allocate_kv_caches(model.spec, size.num_blocks, block_size, model.target.dtype, device),
        block_size=block_size,
        max_num_seqs=config.scheduler.max_num_seqs,
        max_blocks=-(-size.max_model_len // block_size),
        device=device,
    )
    info = _info(model, size, block_size)
    return EngineCore(info, config.scheduler, runner, depth=DEPTH[device.type], seed=config.seed)


def _read_model(config: ModelConfig, device: torch.device) -> _Model:
    if not config.path.is_dir():
        raise ModelNotFound(f"{config.path} is not a folder: give a model in the Hugging Face layout")
    hf_config = HFConfig.read(config.path / "config.json")
    spec = decoder_spec(hf_config)
    limit = spec.max_position_embeddings
    if config.max_model_len is not None and config.max_model_len > limit:
        raise InvalidEngineConfig(
            f"--max-model-len {config.max_model_len}: the model was made for {limit}; give at most that"
        )
    return _Model(
        spec=spec,
        target=Target(device, hf_config.dtype() if config.dtype == "auto" else DTYPES[config.dtype]),
        max_model_len=config.max_model_len or limit,
        eos_token_ids=read_eos_token_ids(config.path, hf_config),
    )


def _cache_size(config: EngineConfig, model: _Model) -> CacheSize:
    itemsize, device = model.target.dtype.itemsize, model.target.device
    budget = kv_cache_budget(
        model.spec, itemsize, config.cache, config.scheduler, device, model.max_model_len
    )
    return fit_cache(
        budget_bytes=budget,
        block_bytes=config.cache.block_size * model.spec.kv_bytes_per_token(itemsize),
        block_size=config.cache.block_size,
        max_model_len=model.max_model_len,
        max_num_seqs=config.scheduler.max_num_seqs,
    )


def _info(model: _Model, size: CacheSize, block_size: int) -> EngineInfo:
    return EngineInfo(
        max_model_len=size.max_model_len,
        vocab_size=model.spec.vocab_size,
        block_size=block_size,
        num_blocks=size.num_blocks,
        dtype=str(model.target.dtype).removeprefix("torch."),
        device=model.target.device.type,
        eos_token_ids=model.eos_token_ids,
    )


def _device(config: EngineConfig) -> torch.device:
    has_cuda = torch.cuda.is_available()
    if config.device == "cuda" and not has_cuda:
        raise AcceleratorFault(
            "--device cuda: PyTorch sees no CUDA device; check the driver, or use --device cpu"
        )
    return torch.device(
        "cuda" if config.device == "cuda" or (config.device == "auto" and has_cuda) else "cpu"
    )
