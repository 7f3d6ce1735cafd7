"""Penalties and bans in plain PyTorch: dense counts of the rows that have any."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from octavo_kernels.sampling.rows import SamplingRows

Indices = npt.NDArray[np.int64]


def adjusted(logits_NV: Tensor, rows: SamplingRows, latest_token_S: Tensor | None) -> Tensor:
    """The logits as they are where no row has penalties or bans, else a copy."""
    (penalised,) = np.nonzero(rows.has_penalties_N())
    if not len(penalised) and rows.banned_NK is None:
        return logits_NV
    scores_NV = logits_NV.clone()
    if len(penalised):
        index = _on(logits_NV, penalised)
        scores_NV[index] = _penalised(scores_NV[index], rows, penalised, latest_token_S)
    if rows.banned_NK is not None:
        words = list(rows.banned_NK.astype(np.int64))
        places = _places(words, np.arange(len(words)), logits_NV.shape[1])
        scores_NV.view(-1)[_on(logits_NV, places)] = -torch.inf
    return scores_NV


def _on(like: Tensor, array: npt.NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(array).to(like.device, non_blocking=True)


def _places(words: list[Indices], rows: Indices, vocab_size: int) -> Indices:
    """Of each row's words in a flattened [rows, vocabulary]; words outside the vocabulary are left out."""
    word = np.concatenate(words)
    row = np.repeat(rows, [len(some) for some in words])
    is_word = (word >= 0) & (word < vocab_size)
    return row[is_word] * vocab_size + word[is_word]


def _penalised(
    scores_MV: Tensor, rows: SamplingRows, penalised: Indices, latest_token_S: Tensor | None
) -> Tensor:
    vocab_size = scores_MV.shape[1]
    slots, slot_M = rows.slots, rows.slot_N[penalised]
    num_prompt_M, num_known_M = slots.num_prompt_tokens_S[slot_M], slots.num_tokens_S[slot_M]
    known = [
        slots.token_SL[slot, :end].astype(np.int64) for slot, end in zip(slot_M, num_known_M, strict=True)
    ]
    places = np.arange(len(penalised))

    def put(words: list[Indices], target_MV: Tensor) -> None:
        index = _on(scores_MV, _places(words, places, vocab_size))
        target_MV.view(-1).scatter_add_(0, index, torch.ones_like(index, dtype=torch.int32))

    prompt_MV = torch.zeros_like(scores_MV, dtype=torch.int32)
    count_MV = torch.zeros_like(prompt_MV)
    put([words[:end] for words, end in zip(known, num_prompt_M, strict=True)], prompt_MV)
    put([words[end:] for words, end in zip(known, num_prompt_M, strict=True)], count_MV)
    (lacking,) = np.nonzero(num_prompt_M + rows.num_generated_N[penalised] > num_known_M)
    if len(lacking) and latest_token_S is not None:
        latest = latest_token_S[_on(scores_MV, slot_M[lacking].astype(np.int64))].long()
        index = _on(scores_MV, lacking)
        count_MV.index_put_((index, latest), torch.ones_like(index, dtype=torch.int32), accumulate=True)

    def column(values_S: npt.NDArray[np.float32]) -> Tensor:
        return _on(scores_MV, values_S[slot_M])[:, None]

    repetition_M1 = column(slots.repetition_penalty_S)
    repeated_MV = torch.where(scores_MV > 0, scores_MV / repetition_M1, scores_MV * repetition_M1)
    scores_MV = torch.where((prompt_MV > 0) | (count_MV > 0), repeated_MV, scores_MV)
    scores_MV = scores_MV - column(slots.frequency_penalty_S) * count_MV.float()
    return scores_MV - column(slots.presence_penalty_S) * (count_MV > 0).float()
