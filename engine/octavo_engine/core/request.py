"""One request on its way through the core: what does not change from step to step, and its rank.

How far a running request has come stands in the arrays of `slots`; a waiting one keeps its tokens here.
"""

from dataclasses import dataclass, field

import numpy as np

from octavo_engine.core.batch import Int32s
from octavo_engine.core.prefix_index import Parent, chain_hash, root_hash
from octavo_engine.messages import AddRequest, SamplingParams

Rank = tuple[int, int]


@dataclass(slots=True, eq=False)
class Request:
    """Only the Scheduler and its parts change it."""

    request_id: str
    sampling: SamplingParams
    seed: int
    stop_token_ids: tuple[int, ...]
    token_L: Int32s
    """Known tokens; while the request runs, its slot's whole row."""
    num_prompt_tokens: int
    max_num_tokens: int
    """Prompt and generated tokens at which the request ends with "length"."""
    cache_salt: str
    rank: Rank
    """(priority, number of arrival): the lesser is the more important."""
    slot: int | None = None
    num_preemptions: int = 0
    num_cached_tokens: int | None = None
    """Prompt tokens found in the prefix cache at the first admission."""
    chain_hashes: list[int] = field(default_factory=list)
    """Of the full blocks of its tokens, as far as they were needed."""
    parent: Parent = ""
    """The content of its last indexed block."""
    awaited_hash: int | None = None
    """Of the block that another request was computing when this one last wanted to join."""

    @classmethod
    def from_message(
        cls,
        message: AddRequest,
        *,
        seed: int,
        number: int,
        eos_token_ids: tuple[int, ...],
        max_model_len: int,
    ) -> "Request":
        sampling = message.sampling
        num_prompt_tokens = len(message.prompt_token_ids)
        known = message.prompt_token_ids + message.generated_token_ids
        stops = set(sampling.stop_token_ids).union(() if sampling.ignore_eos else eos_token_ids)
        return cls(
            request_id=message.request_id,
            sampling=sampling,
            seed=seed,
            stop_token_ids=tuple(sorted(stops)),
            token_L=np.array(known, dtype=np.int32),
            num_prompt_tokens=num_prompt_tokens,
            max_num_tokens=min(num_prompt_tokens + sampling.max_tokens, max_model_len),
            cache_salt=message.cache_salt,
            rank=(message.priority, number),
        )

    @property
    def priority(self) -> int:
        return self.rank[0]

    @property
    def has_penalties(self) -> bool:
        """Penalties count all tokens before the one to sample, so that none of them may be in flight."""
        params = self.sampling
        return (params.presence_penalty, params.frequency_penalty, params.repetition_penalty) != (0, 0, 1)

    def block_tokens(self, index: int, block_size: int) -> bytes:
        return self.token_L[index * block_size : (index + 1) * block_size].tobytes()

    def block_hash(self, index: int, block_size: int) -> int:
        """The chain hash of a full block."""
        hashes = self.chain_hashes
        while len(hashes) <= index:
            before = hashes[-1] if hashes else root_hash(self.cache_salt)
            hashes.append(chain_hash(before, self.block_tokens(len(hashes), block_size)))
        return hashes[index]


def rank_of(request: Request) -> Rank:
    return request.rank
