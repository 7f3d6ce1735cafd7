import json
from typing import Any

import pytest

from octavo_gateway.errors import BadRequest
from octavo_gateway.request_body import parse_body
from octavo_gateway.routing import Cost


def parsed(**fields: Any) -> Any:
    return parse_body(json.dumps({"model": "m", **fields}).encode())


def test_a_body_tells_model_stream_and_the_beginning_of_its_prompt() -> None:
    raw = b'{"model":"m", "stream":true,"messages":[{"role":"user","content":"hi"}],"new_field":{}}'
    body = parse_body(raw)
    assert (body.model, body.is_stream, body.raw) == ("m", True, raw)
    assert body.prefix == b'[{"role":"user","content":"hi"}]'
    assert len(parsed(prompt="x" * 5000).prefix) == 1024


@pytest.mark.parametrize(
    ("fields", "cost"),
    [
        ({"prompt": "x" * 398}, Cost(prompt_tokens=100, completion_tokens=16)),
        ({"prompt": "", "max_tokens": 7, "n": 3}, Cost(prompt_tokens=0, completion_tokens=21)),
        ({"max_tokens": 7, "max_completion_tokens": 9}, Cost(prompt_tokens=0, completion_tokens=9)),
        ({"messages": []}, Cost(prompt_tokens=0, completion_tokens=1024)),
        ({"messages": [], "max_tokens": "many", "n": -1}, Cost(prompt_tokens=0, completion_tokens=1024)),
        ({"messages": [], "max_tokens": 10**400, "n": 2}, Cost(prompt_tokens=0, completion_tokens=2**31)),
    ],
)
def test_the_cost_is_what_the_request_may_take_at_most(fields: dict[str, Any], cost: Cost) -> None:
    assert parsed(**fields).cost == cost


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{",
        b'{"prompt":"x"}',
        b'{"model":3}',
        b'{"model":"m","stream":"yes"}',
        b'{"model":"\xff"}',
        b'{"model":"m","messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_request_is_refused(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_body(raw)


@pytest.mark.parametrize(
    "field",
    [
        b'"octavo_resume":{}',
        b'"octavo_resume":null',
        b'"octavo_\\u0072esume":{}',
        b'"octavo_resume":1,"octavo_resume":null',
    ],
)
def test_no_client_passes_for_the_gateway(field: bytes) -> None:
    with pytest.raises(BadRequest) as refusal:
        parse_body(b'{"model":"m",' + field + b"}")
    assert refusal.value.param == "octavo_resume"


def test_a_prompt_that_mentions_the_field_is_no_resume() -> None:
    assert parsed(prompt='"octavo_resume":{}').model == "m"
