"""Typed messages between the HTTP server and the engine's core; the only thing both know.

They are msgspec structs, so the same values cross a thread today and a Unix socket when core
and server are two processes. Nothing here imports torch or HTTP.
"""

from collections.abc import AsyncIterator
from typing import Literal, Protocol

import msgspec

FinishReason = Literal["stop", "length", "abort", "error"]


class SamplingParams(msgspec.Struct, frozen=True, kw_only=True):
    """How to choose the next token. `temperature` 0 is greedy among the penalised logits.

    top_k 0 means no limit; min_p is a share of the most likely token's probability. The same `seed` gives the
    same tokens whatever else is in the batch; without one the engine draws a seed at admission.
    Presence and frequency penalties count generated tokens, the repetition penalty those of the prompt too.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    num_logprobs: int | None = None
    """None asks for no log probabilities, 0 for the chosen token's, k for those of the k most likely too."""
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    min_tokens: int = 0


class AddRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Start generating. The server has checked that prompt and max_tokens fit the context."""

    request_id: str
    prompt_token_ids: tuple[int, ...]
    sampling: SamplingParams
    arrival_time: float
    """Seconds of `time.monotonic()` when the server accepted the request."""
    priority: int = 0
    """Lower goes first, as in vLLM; equals go in order of arrival."""
    cache_salt: str = ""
    """Requests share cached prefixes with those of the same salt alone."""
    generated_token_ids: tuple[int, ...] = ()
    """What another engine generated for this request before: it goes on as after a preemption.

    Fewer than `max_tokens`, and none that ended it. They are computed again, count as generated, and come in
    no message.
    """


class AbortRequest(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Stop a request and free its blocks; unknown ids are ignored, for it may just have ended."""

    request_id: str


class TokenLogprobs(msgspec.Struct, frozen=True, array_like=True):
    """Natural logarithms of the probabilities that the model gave, before temperature, penalties and cuts."""

    chosen: float
    top: tuple[tuple[int, float], ...] = ()
    """(token id, log probability) of the most likely tokens, the best first."""


class TokensReady(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """New tokens of one request. The last message of a request carries `finish_reason`.

    A token of `stop_token_ids` or an end-of-text token ends the request with "stop" and is not part of
    `token_ids`; it still counts as generated in `num_generated_tokens`.
    """

    request_id: str
    token_ids: tuple[int, ...]
    num_generated_tokens: int = 0
    finish_reason: FinishReason | None = None
    num_cached_tokens: int = 0
    """Prompt tokens that came from the prefix cache."""
    error: str | None = None
    logprobs: tuple[TokenLogprobs, ...] = ()
    """One for each of `token_ids` where the request asked for them."""
    stop_token_id: int | None = None
    """The token that ended the request with "stop"."""


class EngineStats(msgspec.Struct, frozen=True, kw_only=True):
    """What the core is doing at this moment; counters grow monotonically."""

    num_running: int
    num_waiting: int
    num_blocks: int
    num_used_blocks: int
    num_preemptions: int
    num_steps: int
    prompt_tokens: int
    generation_tokens: int
    prefix_cache_queries: int
    prefix_cache_hits: int


class EngineInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a loaded engine can take; fixed for the life of the process."""

    max_model_len: int
    vocab_size: int
    block_size: int
    num_blocks: int
    dtype: str
    device: str
    eos_token_ids: tuple[int, ...]
    exactness: str = ""
    """Engines with the same say the same tokens bit for bit; empty where an engine may differ from itself."""


class Engine(Protocol):
    """The core as the server sees it. Every method is called on the server's event loop."""

    @property
    def info(self) -> EngineInfo: ...

    def generate(self, request: AddRequest) -> AsyncIterator[TokensReady]:
        """Yield tokens as they come, until a message has a `finish_reason`.

        Closing the iterator early (client gone, stop string met) aborts the request.
        """
        ...

    def stats(self) -> EngineStats: ...

    def seconds_without_progress(self) -> float:
        """Zero while idle; else the seconds since the last step completed. Liveness rests on it."""
        ...

    def shutdown(self) -> None:
        """Stop the engine's thread; open requests end with "abort"."""
        ...
