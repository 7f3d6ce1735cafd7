"""The truth in plain PyTorch, on any device. Nothing here reads anything back from a GPU."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from octavo_kernels.sampling.on_device import DeviceLogprobs, DeviceSampled
from octavo_kernels.sampling.penalties import adjusted
from octavo_kernels.sampling.rows import SamplingRows
from octavo_kernels.sampling.uniforms import uniforms
from octavo_kernels.sampling.weights import to_fixed, weight_of

NUM_TRIED_FIRST = 1024
"""Best tokens that most cuts lie within; only where one does not is a vocabulary sorted."""


def sample(logits_NV: Tensor, rows: SamplingRows, latest_token_S: Tensor | None = None) -> DeviceSampled:
    """`latest_token_S` (on the device) has the last generated token of slots whose `token_SL` lacks it."""
    scores_NV = adjusted(logits_NV, rows, latest_token_S)
    token_N = scores_NV.argmax(dim=-1)
    peak_N1 = scores_NV.gather(1, token_N[:, None])
    (random,) = np.nonzero(rows.slots.temperature_S[rows.slot_N] > 0)
    if len(random):
        index = _on(logits_NV, random)
        parts = [random] if logits_NV.is_cuda else _split(random, logits_NV.shape[1])
        drawn = torch.cat([_draw(scores_NV, peak_N1, rows, part) for part in parts])
        token_N = token_N.index_copy(0, index, drawn)
    token_N = token_N.where(peak_N1[:, 0].isfinite(), -1).int()
    return DeviceSampled(token_N=token_N, logprobs=_logprobs(logits_NV, token_N, rows))


def _split(rows: npt.NDArray[np.int64], vocab_size: int) -> list[npt.NDArray[np.int64]]:
    """Parts that fit a core's cache and that PyTorch leaves to one thread, for it splits larger ones."""
    return np.array_split(rows, -(-len(rows) * vocab_size // 32768))


def _on(like: Tensor, array: npt.NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(array).to(like.device, non_blocking=True)


def _draw(scores_NV: Tensor, peak_N1: Tensor, rows: SamplingRows, random: npt.NDArray[np.int64]) -> Tensor:
    """Tokens of the rows `random`; what is drawn where the peak is not a number does not matter."""
    vocab_size = scores_NV.shape[1]
    slots, slot_M = rows.slots, rows.slot_N[random]
    place_M = _on(scores_NV, random)
    scores_MV, peak_M1 = scores_NV.index_select(0, place_M), peak_N1.index_select(0, place_M)
    with np.errstate(over="ignore"):
        inverse_M = np.minimum(1 / slots.temperature_S[slot_M], np.finfo(np.float32).max)
    weight_MV = weight_of((scores_MV - peak_M1) * _on(scores_MV, inverse_M)[:, None])
    min_p_M = slots.min_p_S[slot_M]
    if (min_p_M > 0).any():
        weight_MV.masked_fill_(weight_MV < _on(scores_MV, min_p_M)[:, None], 0.0)
    weight_MV = to_fixed(weight_MV)
    top_k_M = np.where(slots.top_k_S[slot_M] < vocab_size, slots.top_k_S[slot_M], 0)
    top_p_M = slots.top_p_S[slot_M]
    (cut,) = np.nonzero((top_k_M > 0) | (top_p_M < 1))
    if len(cut):
        index = _on(scores_MV, cut)
        kept = _cut(
            _order_keys(scores_MV.index_select(0, index)),
            weight_MV.index_select(0, index),
            _on(scores_MV, top_k_M[cut]),
            _on(scores_MV, top_p_M[cut]),
        )
        weight_MV = weight_MV.index_copy(0, index, kept)
    return _invert(weight_MV, _on(scores_MV, uniforms(slots.seed_S[slot_M], rows.num_generated_N[random])))


def _order_keys(scores_RV: Tensor) -> Tensor:
    """int64 that fall as tokens go on: the better score first, of equals the lower token, in the low bits."""
    bits_RV = (scores_RV + 0.0).view(torch.int32)  # minus zero becomes zero
    rising_RV = bits_RV ^ ((bits_RV >> 31) & 0x7FFFFFFF)
    vocab_size = scores_RV.shape[1]
    return rising_RV.long() * 2**32 + torch.arange(vocab_size - 1, -1, -1, device=scores_RV.device)


def _token_of(key: Tensor, vocab_size: int) -> Tensor:
    return vocab_size - 1 - (key & 0xFFFFFFFF)


def _best_first(key_RV: Tensor, count: int) -> Tensor:
    """The best `count` of each row in order."""
    if key_RV.is_cuda:
        return key_RV.sort(descending=True).values[:, :count]
    # NumPy sorts and selects many times as fast as PyTorch does on a CPU, and on one thread.
    falling_RV = -key_RV.numpy()
    if count < falling_RV.shape[1]:
        falling_RV = np.partition(falling_RV, count - 1)[:, :count]
    return torch.from_numpy(-np.sort(falling_RV))


def _cut(key_RV: Tensor, weight_RV: Tensor, top_k_R: Tensor, top_p_R: Tensor) -> Tensor:
    """Weights with zeros outside the best `top_k`, and of these outside the fewest that hold `top_p`."""
    vocab_size = key_RV.shape[1]
    count = vocab_size if key_RV.is_cuda else min(NUM_TRIED_FIRST, vocab_size)
    last_R1, is_last_R = _last_kept(_best_first(key_RV, count), weight_RV, top_k_R, top_p_R)
    # Nobody may ask a GPU whether some were enough; it gets them all.
    if count < vocab_size and not is_last_R.all():
        last_R1, _ = _last_kept(_best_first(key_RV, vocab_size), weight_RV, top_k_R, top_p_R)
    return weight_RV.masked_fill(key_RV < last_R1, 0)


def _last_kept(best_RB: Tensor, weight_RV: Tensor, top_k_R: Tensor, top_p_R: Tensor) -> tuple[Tensor, Tensor]:
    """The key of the last token that is kept [R, 1], and whether the B best tokens told it [R]."""
    count = best_RB.shape[1]
    weight_RB = weight_RV.gather(1, _token_of(best_RB, weight_RV.shape[1]))
    is_beyond_RB = torch.arange(count, device=best_RB.device) >= top_k_R[:, None]
    weight_RB.masked_fill_(is_beyond_RB & (top_k_R[:, None] > 0), 0)
    reached_RB = weight_RB.cumsum(dim=-1)
    total_R = torch.where(top_k_R > 0, reached_RB[:, -1], weight_RV.sum(dim=-1))
    target_R = (top_p_R.double() * total_R.double()).ceil().long().clamp(min=1)
    target_R = torch.where(top_p_R < 1, target_R, total_R)
    num_kept_R1 = (reached_RB - weight_RB < target_R[:, None]).sum(dim=-1, keepdim=True)
    is_last_R = (top_k_R <= count) & (reached_RB[:, -1] >= target_R)
    return best_RB.gather(1, (num_kept_R1 - 1).clamp(min=0)), is_last_R


def _invert(weight_RV: Tensor, uniform_R: Tensor) -> Tensor:
    """The first token at which the summed weights exceed that share of their total."""
    reached_RV = weight_RV.cumsum(dim=-1)
    total_R = reached_RV[:, -1]
    share_R = torch.minimum((uniform_R * total_R.double()).long(), total_R - 1)
    tokens_R = torch.searchsorted(reached_RV, share_R[:, None], right=True)[:, 0]
    return tokens_R.clamp(max=weight_RV.shape[1] - 1)


def _logprobs(logits_NV: Tensor, token_N: Tensor, rows: SamplingRows) -> DeviceLogprobs | None:
    num_rows, vocab_size = logits_NV.shape
    max_logprobs = rows.max_logprobs()
    if max_logprobs < 0:
        return None
    num_wanted_N = rows.slots.num_logprobs_S[rows.slot_N]
    (asking,) = np.nonzero(num_wanted_N >= 0)
    index = _on(logits_NV, asking)
    logits_AV, token_A = logits_NV[index], token_N[index]
    logprob_AV = logits_AV.log_softmax(dim=-1)
    chosen_A = logprob_AV.gather(1, token_A[:, None].long().clamp(min=0))[:, 0]
    # A banned token may hide that the model's own logits are not numbers.
    is_valid_A1 = (token_A[:, None] >= 0) & logits_AV.amax(dim=-1, keepdim=True).isfinite()
    key_AK = _order_keys(logits_AV).topk(min(max_logprobs, vocab_size), dim=-1).values
    top_AK = _token_of(key_AK, vocab_size)
    wanted_A1 = _on(logits_NV, num_wanted_N[asking])[:, None]
    is_given_AK = is_valid_A1 & (torch.arange(top_AK.shape[1], device=logits_NV.device) < wanted_A1)
    chosen_N = logits_NV.new_full((num_rows,), torch.nan)
    top_token_NK = torch.full((num_rows, max_logprobs), -1, dtype=torch.int32, device=logits_NV.device)
    top_logprob_NK = logits_NV.new_full((num_rows, max_logprobs), torch.nan)
    chosen_N[index] = chosen_A.where(is_valid_A1[:, 0], torch.nan)
    width = top_AK.shape[1]
    top_token_NK[index, :width] = top_AK.int().where(is_given_AK, -1)
    top_logprob_NK[index, :width] = logprob_AV.gather(1, top_AK).where(is_given_AK, torch.nan)
    return DeviceLogprobs(chosen_N=chosen_N, top_token_NK=top_token_NK, top_logprob_NK=top_logprob_NK)
