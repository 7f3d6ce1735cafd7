"""Where answers go: a line of JSON each, written as soon as it is there, so that no interruption loses it.

While the job runs they stand in the order in which they finished; a file that is complete is put into the
order of the prompts.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import msgspec

from octavo_engine.errors import InvalidEngineConfig
from octavo_engine.generate.prompt_file import FilePrompt


class AnswerUsage(msgspec.Struct, frozen=True, kw_only=True):
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    """Prompt tokens that came from the prefix cache."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Either a text with its reason to end, its usage and its prompt's `digest`, or an error."""

    index: int
    id: str | int | None = None
    digest: str = ""
    text: str | None = None
    finish_reason: str | None = None
    usage: AnswerUsage | None = None
    error: str | None = None


@dataclass(slots=True)
class AnswerWriter:
    stream: TextIO

    def write(self, answer: Answer) -> None:
        self.stream.write(msgspec.json.encode(answer).decode() + "\n")
        self.stream.flush()


def answered(path: Path, prompts: Sequence[FilePrompt]) -> list[Answer]:
    """A former run's answers that are whole and no error; a killed run's last line may be half written.

    Raises InvalidEngineConfig for a file that holds anything else, or answers to what is not asked now.
    """
    found: dict[int, Answer] = {}
    for answer in _read_answers(path):
        if answer.error is not None:
            continue
        asked = prompts[answer.index] if answer.index < len(prompts) else None
        if asked is None or (asked.id, asked.digest) != (answer.id, answer.digest):
            raise InvalidEngineConfig(
                f"--resume: {path} holds an answer to prompt {answer.index} (id {json.dumps(answer.id)}) "
                "made with another prompt, model or sampling; give the same again, or another --output"
            )
        found[answer.index] = answer
    return list(found.values())


def _read_answers(path: Path) -> Iterator[Answer]:
    try:
        *lines, rest = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise InvalidEngineConfig(
            f"--resume: {path} is not a file of answers; give another --output"
        ) from error
    for number, line in enumerate(lines, 1):
        answer = _read_answer(line)
        if answer is None:
            raise InvalidEngineConfig(
                f"--resume: {path}, line {number} is no answer of octavo generate; give another --output"
            )
        yield answer
    last = _read_answer(rest)
    if last is not None:
        yield last
    elif rest and not rest.startswith(_FIRST_FIELD[: len(rest)]):
        raise InvalidEngineConfig(f"--resume: {path} is not a file of answers; give another --output")


_FIRST_FIELD = '{"index":'


def _read_answer(line: str) -> Answer | None:
    """None for a line that a killed process left half written, or that is no answer at all."""
    try:
        return msgspec.json.decode(line, type=Answer)
    except msgspec.DecodeError:
        return None


@contextlib.contextmanager
def continued(path: Path, answers: Sequence[Answer]) -> Iterator[AnswerWriter]:
    """A file that holds `answers` and takes more."""
    rewrite(path, answers)
    with path.open("a", encoding="utf-8") as stream:
        yield AnswerWriter(stream)


def put_in_order(path: Path) -> None:
    answers = filter(None, map(_read_answer, path.read_text(encoding="utf-8").split("\n")))
    rewrite(path, sorted(answers, key=lambda answer: answer.index))


def rewrite(path: Path, answers: Sequence[Answer]) -> None:
    """Whole or not at all."""
    draft = path.with_name(f".{path.name}.part")
    with draft.open("w", encoding="utf-8") as stream:
        writer = AnswerWriter(stream)
        for answer in answers:
            writer.write(answer)
    draft.replace(path)
