"""A tiny random Llama in a folder, with a tokenizer and a chat template: quick, and real in every file.

`python tests/support/tiny_model.py OUT_DIR` makes one by hand. Its text is noise; its shapes have what tests
need: grouped heads, more than one layer, a vocabulary that the tokenizer fills exactly.
"""

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VOCAB_SIZE = 512
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
END_OF_TEXT_ID, END_OF_TURN_ID = 0, 2
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS = (
    "A controller watches the state of the world and moves it, step by step, towards the state that was",
    "asked. The engine keeps keys and values in blocks of sixteen tokens, so that memory is never held",
    "for what may come. Every request waits its turn, runs with the others in one batch, and leaves when",
    "its last token is said. What is the capital of France? Paris is the capital of France. Name three",
    "colours: red, green and blue. Write a short story about a lighthouse, a sailor who cannot swim, and",
    "the winter when the lamp went out. Blocks are counted, shared and given back; the scheduler preempts",
    "the youngest when no free block is left. Kubernetes restarts what has died, replaces what has",
    "changed, and asks the health of everything that lives. Explain photosynthesis in one paragraph.",
    "Plants turn sunlight, water and carbon dioxide into sugar and oxygen. Once upon a time there were",
    "two numbers, seven and forty-two, and nobody knew which of them was the answer. system user",
    "assistant You are a helpful assistant. Hello! How are you today? I am fine, thank you very much.",
)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE, so that any text goes in and comes out the same."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        min_frequency=1,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    assert tokenizer.get_vocab_size() == VOCAB_SIZE
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        additional_special_tokens=["<|endoftext|>", "<|im_start|>"],
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def make_tiny_model(
    folder: Path,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    num_layers: int = 3,
    tie_word_embeddings: bool = False,
    max_position_embeddings: int = 1024,
    **overrides: object,
) -> Path:
    """Write the model to `folder` and return it; more fields of LlamaConfig go in as `overrides`."""
    torch.manual_seed(seed)
    settings: dict[str, object] = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": num_layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": max_position_embeddings,
        "tie_word_embeddings": tie_word_embeddings,
        "bos_token_id": 1,
        "eos_token_id": END_OF_TURN_ID,
        "pad_token_id": END_OF_TURN_ID,
        # Wide enough that logits spread: with the default 0.02 random models are full of near ties.
        "initializer_range": 0.3,
    }
    model = LlamaForCausalLM(LlamaConfig(**(settings | overrides)))  # type: ignore[arg-type]
    folder.mkdir(parents=True, exist_ok=True)
    model.to(dtype).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # a container's user is another one
    return folder


if __name__ == "__main__":
    print(make_tiny_model(Path(sys.argv[1])))
