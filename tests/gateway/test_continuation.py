import json

import msgspec
import pytest

from octavo_gateway.continuation import StreamProgress


def started(*seeds: int, exactness: str = "abc") -> StreamProgress:
    progress = StreamProgress()
    start = {"prompt_tokens": 3, "created": 17, "seeds": list(seeds), "exactness": exactness}
    progress.note(json.dumps({"start": start}).encode())
    return progress


def test_a_resume_is_the_clients_body_with_what_each_choice_has_said() -> None:
    progress = started(7, -8)
    progress.note(b'{"i":0,"t":[17,4],"c":12}')
    progress.note(b'{"i":1,"t":[5],"c":2}')
    progress.note(b'{"i":0,"t":[],"c":13}')
    progress.note(b'{"i":0,"t":[9],"c":14,"f":true}')
    body = b'{"model": "m",  "x": 1.0 }\n'
    resumed = progress.resume_body(body)
    assert resumed.startswith(body.rstrip()[:-1])
    assert json.loads(resumed) == {
        "model": "m",
        "x": 1.0,
        "octavo_resume": {
            "created": 17,
            "exactness": "abc",
            "choices": [
                {"seed": 7, "token_ids": [17, 4, 9], "num_chars": 14, "finished": True},
                {"seed": -8, "token_ids": [5], "num_chars": 2, "finished": False},
            ],
        },
    }
    assert progress.num_tokens == 4


def test_a_continuations_own_start_forgets_nothing() -> None:
    progress = started(7)
    progress.note(b'{"i":0,"t":[17],"c":5}')
    progress.note(b'{"failed":"draining"}')
    assert progress.failed == "draining"
    progress.note(b'{"start":{"prompt_tokens":3,"created":17,"seeds":[7],"exactness":"abc"}}')
    assert progress.failed is None
    assert b'"token_ids":[17]' in progress.resume_body(b"{}")


def test_a_stream_is_resumable_only_where_tokens_are_reproducible() -> None:
    assert started(1).is_resumable
    assert not started(1, exactness="").is_resumable
    assert not StreamProgress().is_resumable


def test_usage_is_the_engines_last_word() -> None:
    progress = started(1)
    progress.note(b'{"usage":{"prompt_tokens":3,"completion_tokens":8,"cached_tokens":2}}')
    assert progress.usage is not None
    assert (progress.usage.prompt_tokens, progress.usage.completion_tokens) == (3, 8)


@pytest.mark.parametrize("comment", [b"", b"{", b'{"i":4,"t":[1],"c":1}', b'{"i":0,"t":"x"}'])
def test_what_no_engine_says_is_an_error(comment: bytes) -> None:
    with pytest.raises((msgspec.DecodeError, IndexError)):
        started(1).note(comment)
