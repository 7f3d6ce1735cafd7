"""The compiled op: one call a step, over the arrays as they lie."""

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from octavo_kernels.native.library import NativeLibrary
from octavo_kernels.sampling.rows import Logprobs, Sampled, SamplingRows

_POINTER, _INT64 = ctypes.c_void_p, ctypes.c_int64
# Made once: a comparison with a type makes a dtype of it each time.
_FLOAT32, _INT32, _UINT64, _LONG = map(np.dtype, (np.float32, np.int32, np.uint64, np.int64))


class _SampleArgs(ctypes.Structure):
    """cpu.h's `SampleArgs`, field by field."""

    _fields_ = (
        ("logits", _POINTER),
        ("num_rows", _INT64),
        ("vocab_size", _INT64),
        ("temperature", _POINTER),
        ("top_p", _POINTER),
        ("min_p", _POINTER),
        ("top_k", _POINTER),
        ("presence_penalty", _POINTER),
        ("frequency_penalty", _POINTER),
        ("repetition_penalty", _POINTER),
        ("seed", _POINTER),
        ("num_generated", _POINTER),
        ("known_tokens", _POINTER),
        ("known_stride", _INT64),
        ("slot", _POINTER),
        ("num_known", _POINTER),
        ("num_prompt", _POINTER),
        ("banned", _POINTER),
        ("banned_start", _POINTER),
        ("num_logprobs", _POINTER),
        ("max_logprobs", _INT64),
        ("token", _POINTER),
        ("chosen_logprob", _POINTER),
        ("top_token", _POINTER),
        ("top_logprob", _POINTER),
    )


def sample(logits_NV: Tensor, rows: SamplingRows, library: NativeLibrary) -> Sampled:
    num_rows, vocab_size = logits_NV.shape
    assert logits_NV.dtype == torch.float32 and logits_NV.is_contiguous() and not logits_NV.is_cuda
    assert rows.token_SL.flags.c_contiguous
    banned, banned_start_N1 = _flat(rows)
    token_N = torch.empty(num_rows, dtype=torch.int32)
    logprobs = _empty_logprobs(num_rows, rows.max_logprobs())
    arguments = _SampleArgs(
        logits=logits_NV.data_ptr(),
        num_rows=num_rows,
        vocab_size=vocab_size,
        temperature=_address(rows.temperature_N, _FLOAT32),
        top_p=_address(rows.top_p_N, _FLOAT32),
        min_p=_address(rows.min_p_N, _FLOAT32),
        top_k=_address(rows.top_k_N, _INT32),
        presence_penalty=_address(rows.presence_penalty_N, _FLOAT32),
        frequency_penalty=_address(rows.frequency_penalty_N, _FLOAT32),
        repetition_penalty=_address(rows.repetition_penalty_N, _FLOAT32),
        seed=_address(rows.seed_N, _UINT64),
        num_generated=_address(rows.num_generated_N, _LONG),
        known_tokens=_address(rows.token_SL, _INT32),
        known_stride=rows.token_SL.shape[1],
        slot=_address(rows.slot_N, _INT32),
        num_known=_address(rows.num_tokens_N, _INT32),
        num_prompt=_address(rows.num_prompt_tokens_N, _INT32),
        banned=_address(banned, _INT32),
        banned_start=_address(banned_start_N1, _LONG),
        num_logprobs=_address(rows.num_logprobs_N, _INT32),
        max_logprobs=max(rows.max_logprobs(), 0),
        token=token_N.data_ptr(),
        chosen_logprob=logprobs and logprobs.chosen_N.data_ptr(),
        top_token=logprobs and logprobs.top_token_NK.data_ptr(),
        top_logprob=logprobs and logprobs.top_logprob_NK.data_ptr(),
    )
    library.functions.octavo_sample(library.pool, ctypes.byref(arguments))
    return Sampled(token_N=token_N, logprobs=logprobs)


def _address(array: npt.NDArray[np.generic], dtype: np.dtype[Any]) -> int:
    assert array.dtype == dtype and array.flags.c_contiguous
    address: int = array.__array_interface__["data"][0]  # a third of the time of array.ctypes.data
    return address


def _flat(rows: SamplingRows) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    start_N1 = np.zeros(len(rows.banned_N) + 1, dtype=np.int64)
    np.cumsum([len(banned) for banned in rows.banned_N], out=start_N1[1:])
    if not start_N1[-1]:
        return np.zeros(0, dtype=np.int32), start_N1
    return np.concatenate(rows.banned_N, dtype=np.int32), start_N1


def _empty_logprobs(num_rows: int, max_logprobs: int) -> Logprobs | None:
    if max_logprobs < 0:
        return None
    return Logprobs(
        chosen_N=torch.full((num_rows,), torch.nan),
        top_token_NK=torch.full((num_rows, max_logprobs), -1, dtype=torch.int32),
        top_logprob_NK=torch.full((num_rows, max_logprobs), torch.nan),
    )
