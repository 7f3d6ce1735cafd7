"""Rows to sample, all alike but for what a test says, and the distribution that their settings mean."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from octavo_kernels.sampling import SamplingRows, SamplingSlots

Floats = npt.NDArray[np.float64]


def sampling_rows(
    count: int,
    *,
    prompt: Sequence[int] = (),
    generated: Sequence[int] = (),
    banned: Sequence[int] = (),
    num_generated: npt.ArrayLike | None = None,
    **settings: npt.ArrayLike,
) -> SamplingRows:
    """Settings are one value for all rows or one a row; each row is its request's next token, if not said."""
    names = {"temperature": 1, "top_p": 1, "min_p": 0, "presence_penalty": 0, "frequency_penalty": 0}
    floats = {
        f"{name}_S": _column(count, settings.pop(name, default), np.float32)
        for name, default in {**names, "repetition_penalty": 1}.items()
    }
    seed_S = _column(count, settings.pop("seed", 5), np.uint64)
    integers: dict[str, Any] = {
        f"{name}_S": _column(count, settings.pop(name, default), np.int32)
        for name, default in {"top_k": 0, "num_logprobs": -1}.items()
    }
    assert not settings, f"no such setting: {settings}"
    known = np.array([*prompt, *generated], dtype=np.int32)
    slots = SamplingSlots(
        **floats,
        **integers,
        seed_S=seed_S,
        token_SL=np.tile(known, (count, 1)),
        num_tokens_S=np.full(count, len(known), dtype=np.int32),
        num_prompt_tokens_S=np.full(count, len(prompt), dtype=np.int32),
    )
    return SamplingRows(
        slots=slots,
        slot_N=np.arange(count, dtype=np.int32),
        num_generated_N=_column(
            count, np.arange(count) if num_generated is None else num_generated, np.int64
        ),
        banned_NK=np.tile(np.array(banned, dtype=np.int32), (count, 1)) if banned else None,
    )


def _column(count: int, value: npt.ArrayLike, dtype: npt.DTypeLike) -> Any:
    return np.broadcast_to(np.asarray(value, dtype=dtype), (count,)).copy()


def distribution(
    logits: npt.ArrayLike,
    *,
    prompt: Sequence[int] = (),
    generated: Sequence[int] = (),
    banned: Sequence[int] = (),
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    presence_penalty: float = 0.0,
    frequency_penalty: float = 0.0,
    repetition_penalty: float = 1.0,
) -> Floats:
    """Word for word what the contract says, with a sort and in double precision."""
    scores = np.array(logits, dtype=np.float64)
    for token in {*prompt, *generated}:
        scores[token] *= 1 / repetition_penalty if scores[token] > 0 else repetition_penalty
    for token, times in Counter(generated).items():
        scores[token] -= frequency_penalty * times + presence_penalty
    scores[list(banned)] = -np.inf
    if temperature == 0:
        return np.eye(len(scores))[scores.argmax()]
    weights = np.exp((scores - scores.max()) / temperature)
    weights[weights < min_p] = 0
    order = np.argsort(-scores, kind="stable")
    if top_k:
        weights[order[top_k:]] = 0
    if top_p < 1:
        before = weights[order].cumsum() - weights[order]
        weights[order[before >= top_p * weights.sum()]] = 0
    return np.asarray(weights / weights.sum())
