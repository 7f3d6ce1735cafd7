"""The compiled op: one call a step, over the arrays as they lie."""

import ctypes

import numpy as np
import torch
from torch import Tensor

from octavo_kernels.native.address import address
from octavo_kernels.native.library import NativeLibrary
from octavo_kernels.sampling.rows import Logprobs, Sampled, SamplingRows, SamplingSlots

_POINTER, _INT64 = ctypes.c_void_p, ctypes.c_int64


class _SamplingSlots(ctypes.Structure):
    """cpu.h's `SamplingSlots`, field by field."""

    _fields_ = (
        ("temperature", _POINTER),
        ("top_p", _POINTER),
        ("min_p", _POINTER),
        ("top_k", _POINTER),
        ("presence_penalty", _POINTER),
        ("frequency_penalty", _POINTER),
        ("repetition_penalty", _POINTER),
        ("seed", _POINTER),
        ("num_logprobs", _POINTER),
        ("known_tokens", _POINTER),
        ("known_stride", _INT64),
        ("num_known", _POINTER),
        ("num_prompt", _POINTER),
    )


class _SampleArgs(ctypes.Structure):
    """cpu.h's `SampleArgs`, field by field."""

    _fields_ = (
        ("slots", _POINTER),
        ("logits", _POINTER),
        ("num_rows", _INT64),
        ("vocab_size", _INT64),
        ("slot", _POINTER),
        ("num_generated", _POINTER),
        ("banned", _POINTER),
        ("max_banned", _INT64),
        ("max_logprobs", _INT64),
        ("token", _POINTER),
        ("chosen_logprob", _POINTER),
        ("top_token", _POINTER),
        ("top_logprob", _POINTER),
    )


# Made once: a comparison with a type makes a dtype of it each time.
_FLOAT32, _INT32, _UINT64, _LONG = map(np.dtype, (np.float32, np.int32, np.uint64, np.int64))


class NativeSampler:
    """Over one set of slots and one place for logits, as an engine has; takes their addresses once."""

    def __init__(self, slots: SamplingSlots, logits_MV: Tensor, library: NativeLibrary) -> None:
        """The logits are float32 and contiguous, on the host."""
        assert logits_MV.dtype == torch.float32 and logits_MV.is_contiguous() and not logits_MV.is_cuda
        self.slots = slots
        self._keep_alive = logits_MV
        self._logits = logits_MV.data_ptr()
        self._most_rows, self._vocab_size = logits_MV.shape
        self._library = library
        self._native_slots = _SamplingSlots(
            temperature=address(slots.temperature_S, _FLOAT32),
            top_p=address(slots.top_p_S, _FLOAT32),
            min_p=address(slots.min_p_S, _FLOAT32),
            top_k=address(slots.top_k_S, _INT32),
            presence_penalty=address(slots.presence_penalty_S, _FLOAT32),
            frequency_penalty=address(slots.frequency_penalty_S, _FLOAT32),
            repetition_penalty=address(slots.repetition_penalty_S, _FLOAT32),
            seed=address(slots.seed_S, _UINT64),
            num_logprobs=address(slots.num_logprobs_S, _INT32),
            known_tokens=address(slots.token_SL, _INT32),
            known_stride=slots.token_SL.shape[1],
            num_known=address(slots.num_tokens_S, _INT32),
            num_prompt=address(slots.num_prompt_tokens_S, _INT32),
        )

    def sample(self, rows: SamplingRows) -> Sampled:
        """Their logits are the first N of the M."""
        num_rows = len(rows.slot_N)
        assert rows.slots is self.slots and num_rows <= self._most_rows
        banned_NK, max_logprobs = rows.banned_NK, rows.max_logprobs()
        token_N = np.empty(num_rows, dtype=np.int32)
        logprobs = None if max_logprobs < 0 else _empty_logprobs(num_rows, max_logprobs)
        arguments = _SampleArgs(
            slots=ctypes.addressof(self._native_slots),
            logits=self._logits,
            num_rows=num_rows,
            vocab_size=self._vocab_size,
            slot=address(rows.slot_N, _INT32),
            num_generated=address(rows.num_generated_N, _LONG),
            banned=0 if banned_NK is None else address(banned_NK, _INT32),
            max_banned=0 if banned_NK is None else banned_NK.shape[1],
            max_logprobs=max(max_logprobs, 0),
            token=address(token_N, _INT32),
            chosen_logprob=0 if logprobs is None else address(logprobs.chosen_N, _FLOAT32),
            top_token=0 if logprobs is None else address(logprobs.top_token_NK, _INT32),
            top_logprob=0 if logprobs is None else address(logprobs.top_logprob_NK, _FLOAT32),
        )
        self._library.sample(arguments)
        return Sampled(token_N=token_N, logprobs=logprobs)


def _empty_logprobs(num_rows: int, max_logprobs: int) -> Logprobs:
    return Logprobs(
        chosen_N=np.full(num_rows, np.nan, dtype=np.float32),
        top_token_NK=np.full((num_rows, max_logprobs), -1, dtype=np.int32),
        top_logprob_NK=np.full((num_rows, max_logprobs), np.nan, dtype=np.float32),
    )
