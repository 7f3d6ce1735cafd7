"""One request on its way through the core."""

from dataclasses import dataclass, field

from octavo_engine.messages import AddRequest, FinishReason, SamplingParams


@dataclass(slots=True, eq=False)
class Request:
    """Its tokens and how far they are computed; only the Scheduler changes it.

    There are no phases: `num_computed_tokens` chases `num_tokens`, by chunks in prefill, by one in decode.
    """

    request_id: str
    sampling: SamplingParams
    seed: int
    stop_token_ids: frozenset[int]
    token_ids: list[int]
    num_prompt_tokens: int
    max_num_tokens: int
    """Prompt and generated tokens at which the request ends with "length"."""
    num_computed_tokens: int = 0
    """Tokens whose keys and values are in the cache once all steps in flight have ended."""
    num_pending_tokens: int = 0
    """Tokens that steps in flight will sample."""
    block_table: list[int] = field(default_factory=list)
    slot: int | None = None
    num_sent_blocks: int = 0
    """Blocks of the table that the worker knows."""
    num_preemptions: int = 0
    num_cached_tokens: int | None = None
    """Prompt tokens found in the prefix cache at the first admission."""
    prefix_parent: int = 0
    num_indexed_blocks: int = 0
    finish_reason: FinishReason | None = None

    @classmethod
    def from_message(
        cls, message: AddRequest, *, seed: int, eos_token_ids: tuple[int, ...], max_model_len: int
    ) -> "Request":
        sampling = message.sampling
        num_prompt_tokens = len(message.prompt_token_ids)
        return cls(
            request_id=message.request_id,
            sampling=sampling,
            seed=seed,
            stop_token_ids=frozenset(sampling.stop_token_ids).union(
                () if sampling.ignore_eos else eos_token_ids
            ),
            token_ids=list(message.prompt_token_ids),
            num_prompt_tokens=num_prompt_tokens,
            max_num_tokens=min(num_prompt_tokens + sampling.max_tokens, max_model_len),
        )

    @property
    def num_tokens(self) -> int:
        """Known tokens and those that steps in flight will add."""
        return len(self.token_ids) + self.num_pending_tokens

    @property
    def num_uncomputed_tokens(self) -> int:
        """What is left to compute now; the very last token of a request is never an input."""
        return min(self.num_tokens, self.max_num_tokens - 1) - self.num_computed_tokens

    @property
    def num_generated_tokens(self) -> int:
        return len(self.token_ids) - self.num_prompt_tokens
