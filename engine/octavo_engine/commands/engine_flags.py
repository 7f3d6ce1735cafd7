"""Flags of every command that loads a model or asks whether it could; they mean the same everywhere."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from octavo_engine.config import EngineConfig
    from octavo_engine.sources import HubAccess

SOURCE_HELP = "a folder, file:///path, or hf://org/name[@revision]"


def add_model_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--dtype", choices=("auto", "bfloat16", "float16", "float32"), default="auto",
                       help="auto is the checkpoint's own")  # fmt: skip
    group.add_argument(
        "--max-model-len", type=int, metavar="N", help="context in tokens (default: the model's)"
    )
    group.add_argument("--no-packed-cache", action="store_true",
                       help="keep no packed weights beside the model for a quicker next start")  # fmt: skip


def add_engine_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto",
                       help="auto is the GPU where there is one")  # fmt: skip
    group.add_argument(
        "--block-size", type=int, default=16, metavar="N", help="tokens a KV block: 16 or 32 (default 16)"
    )
    group.add_argument("--memory-percent", type=int, default=90, metavar="P",
                       help="share of the device's memory to use (default 90); on a CPU that no "
                       "container limits the KV cache gets 4 GiB at most")  # fmt: skip
    group.add_argument("--kv-cache-memory", type=int, metavar="BYTES", help="instead of --memory-percent")
    group.add_argument("--max-num-seqs", type=int, default=256, metavar="N",
                       help="requests that run at once (default 256)")  # fmt: skip
    group.add_argument("--max-num-batched-tokens", type=int, default=512, metavar="N",
                       help="tokens that one step computes (default 512)")  # fmt: skip
    group.add_argument("--max-num-prefill-tokens", type=int, metavar="N",
                       help="of these, prompt tokens while others decode: fewer make these smoother, more "
                       "shorten the wait for a first one (default: on a CPU about a quarter of a second "
                       "of work, on a GPU all)")  # fmt: skip


def engine_config(options: argparse.Namespace, *, seed: int = 0) -> "EngineConfig":
    """Its model's path is a placeholder until the source has been resolved to a folder."""
    from octavo_engine.config import CacheConfig, EngineConfig, ModelConfig, SchedulerConfig

    return EngineConfig(
        model=ModelConfig(
            path=Path(options.model),
            dtype=options.dtype,
            max_model_len=options.max_model_len,
            packed_cache=not options.no_packed_cache,
        ),
        cache=CacheConfig(
            block_size=options.block_size,
            memory_percent=options.memory_percent,
            memory_bytes=options.kv_cache_memory,
        ),
        scheduler=SchedulerConfig(
            max_num_seqs=options.max_num_seqs,
            max_num_batched_tokens=options.max_num_batched_tokens,
            max_num_prefill_tokens=options.max_num_prefill_tokens,
        ),
        device=options.device,
        seed=seed,
    )


def hub_access(environment: Mapping[str, str]) -> "HubAccess":
    from octavo_engine.sources import HubAccess

    return HubAccess(
        endpoint=environment.get("HF_ENDPOINT") or None, token=environment.get("HF_TOKEN") or None
    )
