"""The offline API: lists of prompts in, lists of results out, in the caller's thread."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from octavo_engine.config import EngineConfig
from octavo_engine.core.engine_core import EngineCore
from octavo_engine.load import load_core
from octavo_engine.messages import AddRequest, FinishReason, SamplingParams, TokensReady


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """One prompt's answer."""

    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    num_cached_tokens: int = 0
    error: str | None = None


class LLM:
    """A loaded model that answers batches of prompts."""

    def __init__(self, config: EngineConfig) -> None:
        self.core: EngineCore = load_core(config)

    def generate(
        self, prompts: Sequence[Sequence[int]], sampling: Sequence[SamplingParams]
    ) -> list[Generated]:
        """Run all prompts together, as far as they fit, and return their answers in the same order."""
        collected: dict[str, list[TokensReady]] = {str(index): [] for index in range(len(prompts))}
        for index, (prompt, params) in enumerate(zip(prompts, sampling, strict=True)):
            refusal = self.core.add(
                AddRequest(
                    request_id=str(index),
                    prompt_token_ids=tuple(prompt),
                    sampling=params,
                    arrival_time=time.monotonic(),
                )
            )
            collected[str(index)] += [refusal] if refusal else []
        while self.core.has_work():
            for message in self.core.step():
                collected[message.request_id].append(message)
        return [_fold(messages) for messages in collected.values()]


def _fold(messages: list[TokensReady]) -> Generated:
    last = messages[-1]
    assert last.finish_reason is not None
    return Generated(
        token_ids=tuple(token_id for message in messages for token_id in message.token_ids),
        finish_reason=last.finish_reason,
        num_cached_tokens=last.num_cached_tokens,
        error=last.error,
    )
