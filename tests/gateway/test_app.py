import contextlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import openai
import pytest
from gateway_parts import SERVICE, RunningGateway, running_gateway, with_policy
from mock_engine import Fault, MockEngine, whole_text

from octavo_gateway.errors import Unavailable
from octavo_gateway.routing import Service


@contextlib.asynccontextmanager
async def gateway_and_engine(**options: Any) -> AsyncIterator[tuple[RunningGateway, MockEngine]]:
    engine = MockEngine()
    async with engine.running(), running_gateway(engine, **options) as gateway:
        yield gateway, engine


async def error_of(response: Any) -> dict[str, Any]:
    """The error, after a look at its envelope."""
    assert response.content_type == "application/json"
    body = await response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert response.headers["x-request-id"]
    error: dict[str, Any] = body["error"]
    return error


async def test_models_are_listed_under_all_their_names() -> None:
    async with (
        gateway_and_engine() as (gateway, _),
        gateway.session.get(gateway.url + "/v1/models") as response,
    ):
        listed = await response.json()
    assert [card["id"] for card in listed["data"]] == ["tiny", "alias"]
    assert listed["data"][0] == {"id": "tiny", "object": "model", "created": 0, "owned_by": "octavo"}


async def test_a_service_whose_keys_cannot_be_read_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async with gateway_and_engine() as (gateway, _):
        locked = replace(SERVICE, name="locked", served_names=("locked",))
        gateway.table.services.append(locked)

        def tenant(service: Service, authorization: bytes | None) -> str:
            if service == locked:
                raise Unavailable("no keys", code="keys_unavailable", retry_after=5)
            return ""

        monkeypatch.setattr(gateway.keys, "tenant", tenant)
        async with gateway.session.get(gateway.url + "/v1/models") as response:
            listed = await response.json()
    assert [card["id"] for card in listed["data"]] == ["tiny", "alias"]


async def test_one_model_can_be_asked_for_by_name() -> None:
    async with gateway_and_engine() as (gateway, _):
        async with gateway.session.get(gateway.url + "/v1/models/alias") as response:
            assert (await response.json())["id"] == "alias"
        async with gateway.session.get(gateway.url + "/v1/models/nobody") as response:
            assert response.status == 404
            assert (await error_of(response))["code"] == "model_not_found"


async def test_an_unknown_model_is_a_404_that_names_the_known_ones() -> None:
    async with gateway_and_engine() as (gateway, _), gateway.post({"model": "gpt-9"}) as response:
        assert response.status == 404
        assert (await error_of(response))[
            "message"
        ] == "the model `gpt-9` does not exist; there is: tiny, alias"


async def test_a_known_model_without_replicas_is_a_503_never_a_404() -> None:
    service = with_policy(queue_timeout_seconds=0.05)
    async with running_gateway(service=service) as gateway, gateway.post({}) as response:
        assert (response.status, response.headers["retry-after"]) == (503, "5")
        assert (await error_of(response))["code"] == "queue_timeout"


async def test_a_model_that_replicas_do_not_serve_yet_is_a_503_never_a_404() -> None:
    async with gateway_and_engine(service=with_policy(queue_timeout_seconds=0.2)) as (gateway, engine):
        engine.faults = [Fault(kind="not_served")] * 9
        async with gateway.post({}) as response:
            assert response.status == 503
            assert "does not serve this model yet" in (await error_of(response))["message"]


@pytest.mark.parametrize(
    "path", ["/", "/health", "/v1/embeddings", "/v1/completions/", "/v1/chat/completions/x"]
)
async def test_other_paths_are_not_found(path: str) -> None:
    async with gateway_and_engine() as (gateway, engine), gateway.post({}, path=path) as response:
        assert response.status == 404
        assert "/v1/chat/completions" in (await error_of(response))["message"]
    assert engine.received == []


@pytest.mark.parametrize(
    ("method", "path", "allowed"), [("GET", "/v1/completions", "POST"), ("POST", "/v1/models", "GET")]
)
async def test_other_methods_are_told_the_right_one(method: str, path: str, allowed: str) -> None:
    async with (
        gateway_and_engine() as (gateway, _),
        gateway.session.request(method, gateway.url + path) as response,
    ):
        assert (response.status, response.headers["allow"]) == (405, allowed)
        await error_of(response)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model":1}', b'{"model":"tiny","octavo_resume":{}}'])
async def test_what_is_no_request_is_a_400_that_no_engine_sees(body: bytes) -> None:
    async with gateway_and_engine() as (gateway, engine), gateway.post(body) as response:
        assert response.status == 400
        assert (await error_of(response))["type"] == "invalid_request_error"
    assert engine.received == []


async def test_a_wrong_key_is_a_401_and_hides_the_model() -> None:
    options = {"service": with_policy(has_auth=True), "keys": {"alice": "sk-1"}}
    async with gateway_and_engine(**options) as (gateway, engine):
        for headers in ({}, {"authorization": "Bearer sk-2"}):
            async with gateway.post({}, headers=headers) as response:
                assert response.status == 401
                await error_of(response)
            async with gateway.session.get(gateway.url + "/v1/models", headers=headers) as response:
                assert (await response.json())["data"] == []
        async with gateway.post({"model": "gpt-9"}) as response:
            assert (await error_of(response))["message"].endswith("there is: none")
        async with gateway.post({}, headers={"authorization": "Bearer sk-1"}) as response:
            assert response.status == 200
    assert [received.headers["x-octavo-tenant"] for received in engine.received] == ["alice"]


@pytest.mark.parametrize("given", ["a b", "x" * 129, "é"])
async def test_a_harmful_request_id_is_replaced(given: str) -> None:
    headers = {"x-request-id": given}
    async with gateway_and_engine() as (gateway, engine), gateway.post({}, headers=headers) as response:
        sane = response.headers["x-request-id"]
    assert sane != given
    assert engine.received[0].headers["x-request-id"] == sane


async def test_a_gateway_that_leaves_says_so_and_one_that_left_refuses() -> None:
    async with gateway_and_engine() as (gateway, _):
        gateway.lifecycle.is_leaving = True
        async with gateway.post({}) as response:
            assert (response.status, response.headers["connection"]) == (200, "close")
        gateway.lifecycle.is_refusing = True
        async with gateway.post({}) as response:
            assert (response.status, response.headers["retry-after"]) == (503, "1")
            assert (await error_of(response))["code"] == "server_draining"


async def test_a_bug_is_a_500_with_an_id_whose_details_are_in_the_log_without_the_prompt(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway_and_engine() as (gateway, _):
        secret = "the prompt " * 2

        def bug(model: str, host: str) -> None:
            raise ValueError("the secret prompt")

        monkeypatch.setattr(gateway.table, "service_for", bug)
        async with gateway.post({"prompt": secret}) as response:
            assert response.status == 500
            message = (await error_of(response))["message"]
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    fields = vars(record)["fields"]
    assert fields["error_id"] in message
    assert "service_for" in fields["traceback"]
    assert secret not in message + str(fields)


async def test_the_log_says_who_asked_what_of_whom_and_neither_prompt_nor_key(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    options = {"service": with_policy(has_auth=True), "keys": {"alice": "sk-secret"}}
    async with gateway_and_engine(**options) as (gateway, engine):
        engine.faults = [Fault(kind="reset"), Fault(kind="reset", after=3)]
        headers = {"authorization": "Bearer sk-secret", "x-request-id": "r1"}
        async with gateway.post({"prompt": "secret-prompt", "stream": True}, headers=headers) as response:
            await response.read()
    [line] = [vars(record)["fields"] for record in caplog.records if record.getMessage() == "request"]
    assert {**line, "seconds": 0} == {
        "request_id": "r1", "method": "POST", "path": "/v1/completions", "service": "tiny",
        "tenant": "alice", "pod": "pod-0", "status": 200, "seconds": 0,
    }  # fmt: skip
    assert "secret" not in str([(record.getMessage(), vars(record)) for record in caplog.records])


async def test_openais_client_is_content_and_raises_at_a_stream_cut_short() -> None:
    async with gateway_and_engine(max_continuations=0) as (gateway, engine):
        client = openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key="any", max_retries=0)
        async with client:
            ask: Any = {"model": "tiny", "prompt": "hi", "seed": 3}
            whole = await client.completions.create(**ask)
            assert whole.choices[0].text == whole_text(3, 10)
            engine.faults = [Fault(kind="end", after=4)]
            texts = []
            with pytest.raises(openai.APIError, match="broke off") as error:
                async for chunk in await client.completions.create(**ask, stream=True):
                    texts.append(chunk.choices[0].text)
    assert "".join(texts) == whole_text(3, 4)
    assert error.value.code == "stream_interrupted"


async def test_a_refused_admission_reaches_the_client_with_its_headers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with gateway_and_engine() as (gateway, engine):

        def full(*_: object) -> None:
            raise Unavailable("the queue is full", code="queue_full", retry_after=7)

        monkeypatch.setattr(gateway.admission, "enter", full)
        async with gateway.post({}) as response:
            assert (response.status, response.headers["retry-after"]) == (503, "7")
            assert json.loads(await response.text())["error"]["code"] == "queue_full"
    assert engine.received == []
