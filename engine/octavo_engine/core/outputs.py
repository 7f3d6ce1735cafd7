"""From a step's arrays to the messages of its requests."""

from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from octavo_engine.core.batch import Int32s, SampledLogprobs
from octavo_engine.core.request import Request
from octavo_engine.messages import FinishReason, TokenLogprobs, TokensReady


def token_messages(
    requests: Sequence[Request], token_N: Int32s, num_generated_N: Int32s
) -> list[TokensReady]:
    """One new token for each request, none of which ends."""
    return [
        TokensReady(
            request_id=request.request_id,
            token_ids=(token_id,),
            num_generated_tokens=num_generated,
            num_cached_tokens=request.num_cached_tokens or 0,
        )
        for request, token_id, num_generated in zip(
            requests, token_N.tolist(), num_generated_N.tolist(), strict=True
        )
    ]


def last_message(request: Request, reason: FinishReason, error: str | None) -> TokensReady:
    """For a request that has left its slot, and with it knows its tokens itself."""
    return TokensReady(
        request_id=request.request_id,
        token_ids=(),
        num_generated_tokens=len(request.token_L) - request.num_prompt_tokens,
        finish_reason=reason,
        num_cached_tokens=request.num_cached_tokens or 0,
        error=error,
    )


def add_logprobs(messages: list[TokensReady], num_logprobs_N: Int32s, logprobs: SampledLogprobs) -> None:
    """To those who asked; the numbers of the others say nothing."""
    for n in np.nonzero(num_logprobs_N >= 0)[0].tolist():
        num_top = num_logprobs_N[n]
        top = zip(
            logprobs.top_token_NK[n, :num_top].tolist(),
            logprobs.top_logprob_NK[n, :num_top].tolist(),
            strict=True,
        )
        messages[n] = replace(messages[n], logprobs=(TokenLogprobs(float(logprobs.chosen_N[n]), tuple(top)),))
