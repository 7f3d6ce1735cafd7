"""`octavo serve` as a process of its own, with a tiny random model: its whole life, and its ends."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO

import openai
import pytest
from gateway_stream import HEADERS, TOKEN, read_event

START_SECONDS = 60.0
OCTAVO = (sys.executable, "-m", "octavo_engine")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Served:
    def __init__(self, process: subprocess.Popen[str], port: int, log: Path) -> None:
        self.process, self.port, self.log = process, port, log

    def status(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return int(response.status)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code
        except (urllib.error.URLError, ConnectionError):
            return 0

    def wait_for(self, path: str, status: int) -> None:
        deadline = time.monotonic() + START_SECONDS
        while self.status(path) != status:
            assert time.monotonic() < deadline, self.log.read_text()
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)

    def exit_code(self) -> int:
        return self.process.wait(timeout=START_SECONDS)


@contextlib.contextmanager
def octavo_serve(log: Path, *flags: str) -> Iterator[Served]:
    port = free_port()
    arguments = [
        sys.executable,
        "-m",
        "octavo_engine",
        "serve",
        "--port",
        str(port),
        "--device",
        "cpu",
        *flags,
    ]
    with log.open("w") as output:
        process = start(arguments, output)
        try:
            yield Served(process, port, log)
        finally:
            process.kill()
            process.wait()


def start(arguments: list[str], output: IO[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(arguments, stdout=output, stderr=output, text=True, env=environment)


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny_model import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def test_it_listens_at_once_serves_and_a_stream_outlives_sigterm(tiny_model: Path, tmp_path: Path) -> None:
    flags = ("--model", str(tiny_model), "--served-model-name", "tiny", "--kv-cache-memory", "8000000")
    with octavo_serve(tmp_path / "log", *flags) as served:
        served.wait_for("/health", 200)
        assert served.status("/ready") == 503
        assert served.status("/v1/models") == 503
        served.wait_for("/ready", 200)
        with openai.OpenAI(
            base_url=f"http://127.0.0.1:{served.port}/v1", api_key="none", max_retries=0
        ) as client:
            asked = partial(
                client.completions.create, model="tiny", prompt="Once upon", extra_body={"ignore_eos": True}
            )
            whole = asked(max_tokens=12, temperature=0)
            stream = asked(max_tokens=150, temperature=0, stream=True)
            text = next(stream).choices[0].text
            served.process.send_signal(signal.SIGTERM)
            reason = None
            for chunk in stream:
                text += chunk.choices[0].text
                reason = chunk.choices[0].finish_reason or reason
        assert whole.usage is not None
        assert whole.usage.completion_tokens == 12
        assert text.startswith(whole.choices[0].text.rstrip("\ufffd"))
        assert reason == "length"
        assert served.exit_code() == 0
    log = (tmp_path / "log").read_text()
    assert "event=drained unfinished_requests=0" in log
    assert "Once upon" not in log


def test_a_stream_that_outlasts_the_drain_ends_with_words_for_gateway_and_client(
    tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    flags = ("--model", str(tiny_model), "--served-model-name", "tiny", "--drain-timeout-seconds", "0")
    token = ("--gateway-token-file", str(tmp_path / "token"), "--kv-cache-memory", "8000000")
    body = {"model": "tiny", "prompt": "Once", "max_tokens": 900, "n": 4, "ignore_eos": True, "stream": True}
    with octavo_serve(tmp_path / "log", *flags, *token) as served:
        served.wait_for("/ready", 200)
        assert served.status("/v1/models") == 401
        request = urllib.request.Request(
            f"http://127.0.0.1:{served.port}/v1/completions", json.dumps(body).encode(), HEADERS
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            first = response.readline()
            served.process.send_signal(signal.SIGTERM)
            *events, error, done, rest = (first + response.read()).decode().split("\n\n")
        assert served.exit_code() == 0
    assert "start" in (read_event(events[0]).comment or {})
    assert read_event(error).comment == {"failed": "draining"}
    assert json.loads(read_event(error).data or "")["error"]["code"] == "server_draining"
    assert (done, rest) == ("data: [DONE]", "")


def test_a_second_signal_does_not_wait(tiny_model: Path, tmp_path: Path) -> None:
    flags = ("--model", str(tiny_model), "--served-model-name", "tiny", "--drain-propagation-seconds", "60")
    with octavo_serve(tmp_path / "log", *flags, "--kv-cache-memory", "8000000") as served:
        served.wait_for("/ready", 200)
        served.process.send_signal(signal.SIGTERM)
        served.wait_for("/ready", 503)
        assert served.process.poll() is None
        served.process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        assert served.exit_code() == 0
        assert time.monotonic() - started < 5


def test_drain_from_the_hook_and_then_sigterm_leaves_at_once(tiny_model: Path, tmp_path: Path) -> None:
    flags = ("--model", str(tiny_model), "--served-model-name", "tiny", "--drain-propagation-seconds", "0.3")
    with octavo_serve(tmp_path / "log", *flags, "--kv-cache-memory", "8000000") as served:
        served.wait_for("/ready", 200)
        started = time.monotonic()
        hook = [*OCTAVO, "drain", "--port", str(served.port)]
        assert subprocess.run(hook, capture_output=True, check=False, timeout=20).returncode == 0
        assert time.monotonic() - started >= 0.3
        assert served.status("/v1/models") == 503
        served.process.send_signal(signal.SIGTERM)
        assert served.exit_code() == 0


def test_sigterm_while_loading_exits_0(tiny_model: Path, tmp_path: Path) -> None:
    with octavo_serve(tmp_path / "log", "--model", str(tiny_model)) as served:
        served.wait_for("/health", 200)
        served.process.send_signal(signal.SIGTERM)
        assert served.exit_code() == 0


def broken_model(tiny_model: Path, folder: Path, **config: object) -> Path:
    folder.mkdir()
    for file in tiny_model.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    read = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(read | config))
    return folder


@pytest.mark.parametrize(
    ("case", "code", "words"),
    [
        ("missing", 67, "there is no folder"),
        ("empty", 65, "has no tokenizer.json"),
        ("architecture", 65, "MambaForCausalLM"),
        ("hub", 75, "cannot reach http://127.0.0.1:1"),
    ],
)
def test_a_model_that_cannot_be_served_ends_the_process_with_its_reason(
    tiny_model: Path, tmp_path: Path, case: str, code: int, words: str
) -> None:
    (tmp_path / "empty").mkdir()
    source = {
        "missing": str(tmp_path / "none"),
        "empty": str(tmp_path / "empty"),
        "architecture": str(
            broken_model(tiny_model, tmp_path / "architecture", architectures=["MambaForCausalLM"])
        ),
        "hub": "hf://org/name",
    }[case]
    termination_log = tmp_path / "termination"
    with octavo_serve(
        tmp_path / "log", "--model", source, "--termination-log", str(termination_log)
    ) as served:
        assert served.exit_code() == code
    assert words in termination_log.read_text()
    assert "\n" not in termination_log.read_text()
    assert f"exit_code={code}" in (tmp_path / "log").read_text()


def test_a_port_in_use_is_a_wrong_flag(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        arguments = [*OCTAVO, "serve", "--model", "x", "--port", str(port)]
        with (tmp_path / "log").open("w") as output:
            assert start(arguments, output).wait(timeout=START_SECONDS) == 64
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in (tmp_path / "log").read_text()
