"""What `transformers` says: the oracle for our own decoder."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM


def reference_tokens(folder: Path, prompts: list[list[int]], num_tokens: int) -> list[tuple[int, ...]]:
    """Greedy tokens in float32, each prompt alone, without an end."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return [_greedy(model, prompt, num_tokens) for prompt in prompts]


def _greedy(model: torch.nn.Module, prompt: list[int], num_tokens: int) -> tuple[int, ...]:
    generated: list[int] = []
    inputs, cache = torch.tensor([prompt]), None
    with torch.inference_mode():
        for _ in range(num_tokens):
            output = model(inputs, past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            generated.append(int(output.logits[0, -1].argmax()))
            inputs = torch.tensor([[generated[-1]]])
    return tuple(generated)


def reference_logits(folder: Path, token_ids: list[int], dtype: torch.dtype) -> torch.Tensor:
    """float32 logits of every position, [tokens, vocabulary]."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    with torch.inference_mode():
        logits: torch.Tensor = model(torch.tensor([token_ids])).logits[0].float()
    return logits
