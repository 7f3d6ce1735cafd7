"""From logits to tokens: one path for greedy and random rows in any mixture.

A random row is decided by one number that depends on its request's seed and on how many tokens it has
generated, on nothing else: neither the batch, nor the device, nor a preemption changes the draw.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

NUM_CANDIDATES = 1024
"""Tokens that are sorted at first for top-p; seldom does a nucleus need more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingRows:
    """Settings of the rows to sample, on the host."""

    temperature_R: npt.NDArray[np.float32]
    top_p_R: npt.NDArray[np.float32]
    top_k_R: npt.NDArray[np.int64]
    seed_R: npt.NDArray[np.uint64]
    num_generated_R: npt.NDArray[np.uint64]


def sample(logits_RV: Tensor, rows: SamplingRows) -> Tensor:
    """A token for each row; -1 where the logits are not numbers."""
    tokens_R = logits_RV.argmax(dim=-1)
    is_valid_R = logits_RV.gather(1, tokens_R[:, None])[:, 0].isfinite()
    (random,) = np.nonzero(rows.temperature_R > 0)
    if len(random):
        tokens_R[torch.from_numpy(random).to(tokens_R.device)] = _draw(logits_RV, rows, random)
    return tokens_R.where(is_valid_R, -1)


def uniforms(seed_R: npt.NDArray[np.uint64], counter_R: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Numbers in [0, 1): the counter-th of the generator SplitMix64 for each seed, without its state."""
    bits = _mix(_mix(seed_R) + (counter_R + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _draw(logits_RV: Tensor, rows: SamplingRows, random: npt.NDArray[np.int64]) -> Tensor:
    """Tokens of the rows `random`, those with a top-k or top-p apart from those without."""
    device = logits_RV.device
    tokens = torch.empty(len(random), dtype=torch.int64, device=device)
    uniform = uniforms(rows.seed_R[random], rows.num_generated_R[random])
    is_cut = (rows.top_k_R[random] > 0) | (rows.top_p_R[random] < 1)
    for chosen, draw in ((is_cut, _draw_cut), (~is_cut, _draw_whole)):
        (places,) = np.nonzero(chosen)
        if len(places):
            index = random[places]
            temperature = torch.from_numpy(rows.temperature_R[index]).to(device)
            scaled = logits_RV[torch.from_numpy(index).to(device)].float() / temperature[:, None]
            top_k = torch.from_numpy(rows.top_k_R[index]).to(device)
            top_p = torch.from_numpy(rows.top_p_R[index]).to(device)
            drawn = draw(scaled, top_k, top_p, torch.from_numpy(uniform[places]).to(device))
            tokens[torch.from_numpy(places).to(device)] = drawn
    return tokens


def _draw_whole(scaled_RV: Tensor, top_k_R: Tensor, top_p_R: Tensor, uniform_R: Tensor) -> Tensor:
    return _invert(scaled_RV.softmax(dim=-1), uniform_R)


def _draw_cut(scaled_RV: Tensor, top_k_R: Tensor, top_p_R: Tensor, uniform_R: Tensor) -> Tensor:
    """Draw among the best `top_k`, and of these among the fewest that hold `top_p` of their probability."""
    vocab_size = scaled_RV.shape[1]
    width = min(vocab_size, max(NUM_CANDIDATES, int(top_k_R.max())))
    total_R1 = scaled_RV.logsumexp(dim=-1, keepdim=True)
    best_RC, token_RC = scaled_RV.topk(width, dim=-1)
    tokens = _draw_sorted(best_RC, token_RC, total_R1, top_k_R, top_p_R, uniform_R)
    mass_R = (best_RC - total_R1).exp().sum(dim=-1)
    (wide,) = torch.nonzero((top_k_R == 0) & (mass_R < top_p_R) & (width < vocab_size), as_tuple=True)
    if len(wide):  # a flat distribution: its nucleus reaches beyond the candidates
        best, token = scaled_RV[wide].sort(dim=-1, descending=True)
        tokens[wide] = _draw_sorted(
            best, token, total_R1[wide], top_k_R[wide], top_p_R[wide], uniform_R[wide]
        )
    return tokens


def _draw_sorted(
    best_RC: Tensor, token_RC: Tensor, total_R1: Tensor, top_k_R: Tensor, top_p_R: Tensor, uniform_R: Tensor
) -> Tensor:
    ranks_C = torch.arange(best_RC.shape[1], device=best_RC.device)
    is_beyond_k = (top_k_R[:, None] > 0) & (ranks_C >= top_k_R[:, None])
    probability_RC = (best_RC - total_R1).exp().double().masked_fill(is_beyond_k, 0)
    # With a top-k, top-p is a share of what that left.
    kept_R = torch.where(top_k_R > 0, probability_RC.sum(dim=-1), 1.0)
    before_RC = probability_RC.cumsum(dim=-1) - probability_RC
    probability_RC = probability_RC.masked_fill(before_RC >= (top_p_R * kept_R)[:, None], 0)
    return token_RC.gather(1, _invert(probability_RC, uniform_R)[:, None])[:, 0]


def _invert(probability_RC: Tensor, uniform_R: Tensor) -> Tensor:
    """The first column at which the cumulated probability exceeds that share of the whole."""
    cumulated_RC = probability_RC.cumsum(dim=-1, dtype=torch.float64)
    threshold_R1 = uniform_R[:, None] * cumulated_RC[:, -1:]
    return (cumulated_RC <= threshold_R1).sum(dim=-1).clamp(max=probability_RC.shape[1] - 1)
