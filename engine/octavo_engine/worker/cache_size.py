"""How many blocks the KV cache gets, and how long a context can then be: fit, rather than fail.

Pure arithmetic; what is free on which device is `memory_budget`'s matter.
"""

from dataclasses import dataclass

from octavo_engine.errors import OutOfMemory

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSize:
    num_blocks: int
    max_model_len: int


def fit_cache(
    *, budget_bytes: int, block_bytes: int, block_size: int, max_model_len: int, max_num_seqs: int
) -> CacheSize:
    """As many blocks as the budget holds, but no more than can ever be in use at once.

    Lowers the context where not even one of `max_model_len` tokens fits.
    """
    blocks_a_context = -(-max_model_len // block_size)
    num_blocks = min(budget_bytes // block_bytes, blocks_a_context * max_num_seqs)
    if num_blocks < 1:
        raise OutOfMemory(
            f"{max(0, budget_bytes) // MIB} MiB are left for the KV cache beside the weights, and one block "
            f"of {block_size} tokens takes {block_bytes / MIB:.1f} MiB: give the engine more memory"
        )
    if num_blocks < blocks_a_context:
        max_model_len = num_blocks * block_size
    return CacheSize(num_blocks=num_blocks, max_model_len=max_model_len)
