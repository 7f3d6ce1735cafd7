"""Text to token ids and back, with the model's own tokenizer.json."""

import re
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from octavo_engine.errors import InvalidModel
from octavo_engine.server.detokenizer import (
    ByteLevelDetokenizer,
    ByteVocabulary,
    Detokenizer,
    WindowDetokenizer,
    has_byte_level_decoder,
)

_BYTE_FALLBACK = re.compile(r"^<0x([0-9A-F]{2})>$")


class TextCodec:
    """Safe to use from several threads."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._added = tokenizer.get_added_tokens_decoder().keys()
        self._spellings: dict[int, bytes] = {}
        self._byte_vocabulary = ByteVocabulary(tokenizer) if has_byte_level_decoder(tokenizer) else None

    def encode(self, text: str, *, add_special_tokens: bool) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)

    def decode(self, token_ids: Sequence[int]) -> str:
        return self._tokenizer.decode(list(token_ids), skip_special_tokens=True)

    def spelling(self, token_id: int) -> bytes:
        """What the token stands for by itself, also within a character; special tokens by name."""
        if (known := self._spellings.get(token_id)) is None:
            known = self._spellings[token_id] = self._spell(token_id)
        return known

    def _spell(self, token_id: int) -> bytes:
        piece = self._tokenizer.id_to_token(token_id)
        if piece is None:  # an embedding row that pads the vocabulary
            return b""
        if token_id in self._added:
            return piece.encode()
        if self._byte_vocabulary is not None:
            return self._byte_vocabulary.token_bytes(token_id)
        if (byte := _BYTE_FALLBACK.match(piece)) is not None:
            return bytes([int(byte[1], 16)])
        return piece.replace("\u2581", " ").encode()

    def detokenizer(self) -> Detokenizer:
        if self._byte_vocabulary is not None:
            return ByteLevelDetokenizer(self._byte_vocabulary)
        return WindowDetokenizer(self._tokenizer)


def read_text_codec(folder: Path) -> TextCodec:
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise InvalidModel(
            f"{folder} has no tokenizer.json; save the model with its fast tokenizer "
            "(AutoTokenizer.from_pretrained(...).save_pretrained(folder))"
        )
    try:
        return TextCodec(Tokenizer.from_file(str(file)))
    except Exception as error:  # the tokenizers library raises plain Exception for whatever is wrong
        raise InvalidModel(f"tokenizer.json cannot be read: {error}; fetch the model again") from error
