from pathlib import Path
from typing import Any

import msgspec
import pytest

from octavo_engine.errors import InvalidEngineConfig
from octavo_engine.generate.answer_file import Answer, answered, continued, put_in_order
from octavo_engine.generate.prompt_file import PromptDefaults, read_prompts

PROMPTS = read_prompts(
    "a.jsonl", '{"prompt": "x", "id": "a"}\n{"prompt": "y"}\n{"prompt": "z"}\n', PromptDefaults(sampling={})
)


def answer(index: int, **fields: str) -> Answer:
    return Answer(index=index, id=PROMPTS[index].id, digest=PROMPTS[index].digest, **fields)


def test_an_answer_is_in_the_file_as_soon_as_it_is_written(tmp_path: Path) -> None:
    with continued(tmp_path / "out", []) as writer:
        writer.write(answer(0, text="ü", finish_reason="stop"))
        assert (tmp_path / "out").read_text() == (
            f'{{"index":0,"id":"a","digest":"{PROMPTS[0].digest}","text":"ü","finish_reason":"stop"}}\n'
        )


def test_a_complete_file_is_in_the_order_of_the_prompts(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with continued(path, [answer(2, text="z")]) as writer:
        writer.write(answer(0, text="x"))
        writer.write(answer(1, error="no"))
    put_in_order(path)
    assert [line[:10] for line in path.read_text().splitlines()] == [f'{{"index":{i}' for i in range(3)]
    assert list(tmp_path.iterdir()) == [path]


def test_what_failed_and_what_was_cut_off_is_not_answered(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with continued(path, [answer(2, text=""), answer(1, error="no")]):
        pass
    with path.open("a") as stream:
        stream.write('{"index":0,"id":"a","te')
    assert answered(path, PROMPTS) == [answer(2, text="")]


@pytest.mark.parametrize(
    "other", [{"index": 7}, {"id": "b"}, {"digest": PROMPTS[1].digest}, {"digest": ""}], ids=str
)
def test_answers_to_other_prompts_are_not_gone_on_with(other: dict[str, Any], tmp_path: Path) -> None:
    with continued(tmp_path / "out", [msgspec.structs.replace(answer(0, text="x"), **other)]):
        pass
    with pytest.raises(InvalidEngineConfig, match="made with another prompt, model or sampling; give the"):
        answered(tmp_path / "out", PROMPTS)


@pytest.mark.parametrize(
    "content",
    [b"my notes\n", b"my notes", b"\xff\xfe\n", b'{"index":1,"error":""}\nmy notes\n', b'{"a":1}\n'],
)
def test_a_file_that_is_none_of_answers_is_refused_and_kept(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_bytes(content)
    with pytest.raises(InvalidEngineConfig, match="give another --output"):
        answered(path, PROMPTS)
    assert path.read_bytes() == content
