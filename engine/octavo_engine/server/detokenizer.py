"""Token ids to text, piece by piece, so that no piece ends within a character.

The pieces of a request together are what decoding all its tokens at once gives.
"""

import codecs
from collections.abc import Sequence
from typing import Protocol

from tokenizers import Tokenizer, decoders

# A character has at most four bytes. Byte-fallback tokens are one byte each, so a tail that stays
# broken for longer is not a character in the making but noise, and is let go as it is.
_MAX_WITHHELD_TOKENS = 8


class Detokenizer(Protocol):
    """Text of one growing sequence of tokens."""

    def feed(self, token_ids: Sequence[int]) -> str: ...

    def flush(self) -> str:
        """What was withheld: an unfinished character becomes U+FFFD."""
        ...


class ByteLevelDetokenizer:
    """For byte-level BPE (GPT-2, Llama 3, Qwen): each token is bytes, and UTF-8 is decoded as it comes."""

    def __init__(self, vocabulary: "ByteVocabulary") -> None:
        self._vocabulary = vocabulary
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token_ids: Sequence[int]) -> str:
        return self._decoder.decode(b"".join(map(self._vocabulary.token_bytes, token_ids)))

    def flush(self) -> str:
        return self._decoder.decode(b"", final=True)


class ByteVocabulary:
    """The bytes that each token of a byte-level vocabulary stands for; special tokens stand for nothing."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._byte_of_char = {char: byte for byte, char in _byte_level_alphabet().items()}
        self._bytes: dict[int, bytes] = {
            token_id: b"" for token_id, token in tokenizer.get_added_tokens_decoder().items() if token.special
        }

    def token_bytes(self, token_id: int) -> bytes:
        known = self._bytes.get(token_id)
        if known is None:
            known = self._bytes[token_id] = self._read(token_id)
        return known

    def _read(self, token_id: int) -> bytes:
        token = self._tokenizer.id_to_token(token_id)
        if token is None:  # an embedding row that pads the vocabulary
            return b""
        try:
            return bytes(self._byte_of_char[char] for char in token)
        except KeyError:  # an added token is plain text
            return token.encode()


class WindowDetokenizer:
    """For every other decoder (sentencepiece, byte fallback): decode a short window and send what is new.

    The window starts at tokens already sent, because such decoders treat the first token of a text
    differently (they strip its leading blank).
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._sent: list[int] = []
        self._withheld: list[int] = []

    def feed(self, token_ids: Sequence[int]) -> str:
        return "".join(self._push(token_id) for token_id in token_ids)

    def flush(self) -> str:
        return self._send() if self._withheld else ""

    def _push(self, token_id: int) -> str:
        self._withheld.append(token_id)
        text = self._new_text()
        if text.endswith("\ufffd") and len(self._withheld) < _MAX_WITHHELD_TOKENS:
            return ""
        return self._send() if text else ""

    def _send(self) -> str:
        text = self._new_text()
        self._sent, self._withheld = self._withheld, []
        return text

    def _new_text(self) -> str:
        before = self._decode(self._sent)
        text = self._decode(self._sent + self._withheld)
        if text.startswith(before):
            return text[len(before) :]
        # Bytes that made a character spoil it when more bytes follow (byte fallback judges a whole run):
        # the character has been sent, so only what follows counts.
        return self._decode(self._withheld)

    def _decode(self, token_ids: list[int]) -> str:
        return self._tokenizer.decode(token_ids, skip_special_tokens=True)


def has_byte_level_decoder(tokenizer: Tokenizer) -> bool:
    return isinstance(tokenizer.decoder, decoders.ByteLevel)


def _byte_level_alphabet() -> dict[int, str]:
    """GPT-2's printable stand-in for each byte: itself where printable, else a character from 256 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return {byte: chr(byte if byte in printable else next(others)) for byte in range(256)}
