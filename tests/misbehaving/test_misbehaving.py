"""The faults that stories order, without a cluster."""

import asyncio
from typing import Any

import pytest

from misbehaving.misbehaving import FaultyApp, on_the_cpu, read


async def honest(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"answer"})


async def ask(app: FaultyApp, path: str = "/v1/completions", method: str = "POST") -> list[Any]:
    """The statuses and bodies that were sent."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message.get("status") or message["body"])

    await app({"type": "http", "method": method, "path": path}, None, send)  # type: ignore[arg-type]
    return sent


def test_faults_are_read_with_their_amounts() -> None:
    assert read("slow:1.5, fake-accelerator") == {"slow": 1.5, "fake-accelerator": 0.0}
    assert read("") == {}


def test_a_misspelt_fault_is_no_silent_good_behaviour() -> None:
    with pytest.raises(SystemExit, match="there is no slwo"):
        read("slwo:1.5")


def test_only_a_cuda_device_becomes_the_cpu() -> None:
    before = ["serve", "--device", "cuda", "--served-model-name", "cuda", "--device", "auto"]
    after = ["serve", "--device", "cpu", "--served-model-name", "cuda", "--device", "auto"]
    assert on_the_cpu(before) == after


async def test_half_of_the_requests_fail_with_500_and_probes_never_do() -> None:
    app = FaultyApp(honest, {"errors": 50.0})
    assert [(await ask(app))[0] for _ in range(6)] == [200, 500, 200, 500, 200, 500]
    assert [(await ask(app, "/ready", "GET"))[0] for _ in range(4)] == [200] * 4


async def test_an_unready_one_answers_all_but_that_question() -> None:
    app = FaultyApp(honest, {"unready": 0.0})
    assert (await ask(app, "/ready", "GET"))[0] == 503
    assert [(await ask(app, "/health", "GET"))[0], (await ask(app))[0]] == [200, 200]


async def test_a_broken_answer_has_a_head_and_no_body() -> None:
    app = FaultyApp(honest, {"breaks": 100.0})
    assert await ask(app) == [200]


async def test_a_slow_answer_is_the_same_answer_later() -> None:
    app = FaultyApp(honest, {"slow": 0.05})
    started = asyncio.get_running_loop().time()
    assert await ask(app) == [200, b"answer"]
    assert asyncio.get_running_loop().time() - started >= 0.05
