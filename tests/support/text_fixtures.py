"""Small tokenizers made on the spot: byte-level BPE, and sentencepiece's style with byte fallback."""

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

CORPUS = (
    "The quick brown fox jumps over the lazy dog, and the dog does not mind.",
    "Grüße aus Köln: schöne Straßen, größere Brücken und ein Stück Käse.",
    "日本語の文章と絵文字 🙂🚀 と 한국어 문장.",
)


def byte_level_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        min_frequency=1,
        special_tokens=["<|end|>", "<|turn|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.add_tokens([AddedToken("<日記>", special=False)])
    return tokenizer


def byte_fallback_tokenizer() -> Tokenizer:
    """As Llama 2 has it: a blank is "▁", what the vocabulary lacks is spelt in <0xNN> tokens."""
    pieces = ["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    pieces += sorted({char for char in "".join(CORPUS[:2]) if char != " "})
    words = [("▁", "t"), ("h", "e"), ("▁t", "he"), ("f", "o"), ("fo", "x"), ("▁", "fox")]
    pieces += [left + right for left, right in words]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={piece: number for number, piece in enumerate(pieces)},
            merges=words,
            unk_token="<unk>",
            byte_fallback=True,
        )
    )
    tokenizer.add_special_tokens(["<unk>", "<s>"])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer
