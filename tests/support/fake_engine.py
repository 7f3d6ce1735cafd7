"""An engine without a model: it says what a test tells it to, through `messages.Engine`.

The script is the whole answer: of a request that brings generated tokens it says the rest.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence

from msgspec import structs

from octavo_engine.messages import (
    AddRequest,
    EngineInfo,
    EngineStats,
    FinishReason,
    TokenLogprobs,
    TokensReady,
)

END_TOKEN = 0
Script = Callable[[AddRequest], Sequence[int]]


def fake_logprobs(token_id: int, num_alternatives: int) -> TokenLogprobs:
    """The token before is always likelier than the one said, and the one after it is impossible."""
    top = ((token_id - 1, -0.25), (token_id, -1.5), (token_id + 1, -math.inf))
    return TokenLogprobs(chosen=-1.5, top=top[:num_alternatives])


class FakeEngine:
    """Says the script's tokens one by one, up to max_tokens; `gate` holds every token back until set."""

    def __init__(
        self,
        script: Script,
        *,
        vocab_size: int = 512,
        max_model_len: int = 256,
        seconds_per_token: float = 0.0,
        num_cached_tokens: int = 0,
        failure: str | None = None,
        exactness: str = "",
    ) -> None:
        self.script = script
        self.seconds_per_token = seconds_per_token
        self.num_cached_tokens = num_cached_tokens
        self.failure = failure
        self.info = EngineInfo(
            max_model_len=max_model_len,
            vocab_size=vocab_size,
            block_size=16,
            num_blocks=100,
            dtype="float32",
            device="cpu",
            eos_token_ids=(END_TOKEN,),
            exactness=exactness,
        )
        self.requests: list[AddRequest] = []
        self.running: set[str] = set()
        self.aborted: set[str] = set()
        self.stalled_seconds = 0.0
        self.is_shut_down = False
        self.num_before_abort: int | None = None
        """Tokens after which it is shut down under every request."""
        self.gate = asyncio.Event()
        self.gate.set()

    async def generate(self, request: AddRequest) -> AsyncIterator[TokensReady]:
        self.requests.append(request)
        self.running.add(request.request_id)
        is_complete = False
        try:
            for message in self._messages(request):
                await self.gate.wait()
                await asyncio.sleep(self.seconds_per_token)
                is_complete = message.finish_reason is not None
                yield message
        finally:
            self.running.discard(request.request_id)
            if not is_complete:
                self.aborted.add(request.request_id)

    def _messages(self, request: AddRequest) -> list[TokensReady]:
        script = list(self.script(request))
        spoken = script[: request.sampling.max_tokens]
        is_cut = len(script) > request.sampling.max_tokens
        messages = [self._message(request, (token,), number) for number, token in enumerate(spoken, start=1)]
        messages = messages[len(request.generated_token_ids) :]
        if self.num_before_abort is not None:
            return [*messages[: self.num_before_abort], self._message(request, (), 0, "abort")]
        if self.failure is not None:
            return [*messages, self._message(request, (), len(spoken), "error", self.failure)]
        if is_cut:
            last = messages.pop()
            return [*messages, self._message(request, last.token_ids, len(spoken), "length")]
        # The end-of-text token counts as generated and is not among the tokens.
        last = self._message(request, (), len(spoken) + 1, "stop")
        return [*messages, structs.replace(last, stop_token_id=END_TOKEN)]

    def _message(
        self,
        request: AddRequest,
        token_ids: tuple[int, ...],
        num_generated: int,
        finish_reason: FinishReason | None = None,
        error: str | None = None,
    ) -> TokensReady:
        return TokensReady(
            request_id=request.request_id,
            token_ids=token_ids,
            num_generated_tokens=num_generated,
            finish_reason=finish_reason,
            num_cached_tokens=self.num_cached_tokens,
            error=error,
            logprobs=self._logprobs(request, token_ids),
        )

    def _logprobs(self, request: AddRequest, token_ids: tuple[int, ...]) -> tuple[TokenLogprobs, ...]:
        wanted = request.sampling.num_logprobs
        return () if wanted is None else tuple(fake_logprobs(token_id, wanted) for token_id in token_ids)

    def stats(self) -> EngineStats:
        return EngineStats(
            num_running=len(self.running),
            num_waiting=0,
            num_blocks=100,
            num_used_blocks=25,
            num_preemptions=3,
            num_steps=7,
            prompt_tokens=sum(len(request.prompt_token_ids) for request in self.requests),
            generation_tokens=11,
            prefix_cache_queries=40,
            prefix_cache_hits=20,
        )

    def seconds_without_progress(self) -> float:
        return self.stalled_seconds

    def shutdown(self) -> None:
        self.is_shut_down = True
