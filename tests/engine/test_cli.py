"""The command line: what it refuses, how it starts, what it tells."""

import subprocess
import sys
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from octavo_engine import cli
from octavo_engine.commands.serve import serve_command
from octavo_engine.config import CacheConfig, EngineConfig, ModelConfig, SchedulerConfig
from octavo_engine.serve import ServeCommand
from octavo_engine.server.settings import DrainSettings, ServerSettings
from octavo_engine.sources import HubAccess


def command(*flags: str, environment: Mapping[str, str] = {}) -> ServeCommand:
    return serve_command(cli.build_parser().parse_args(["serve", *flags]), environment)


def test_every_flag_has_its_place() -> None:
    environment = {"HF_TOKEN": "sesame", "HF_ENDPOINT": "http://hub"}
    flags = (
        "--model hf://org/name --served-model-name a b --host 0.0.0.0 --port 8001 --dtype float32 "
        "--max-model-len 2048 --block-size 32 --memory-percent 80 --kv-cache-memory 1000 --max-num-seqs 8 "
        "--max-num-batched-tokens 64 --device cpu --seed 5 --drain-propagation-seconds 10 "
        "--drain-timeout-seconds 200 --termination-log /dev/termination-log --max-waiting-requests 7"
    )
    assert command(*flags.split(), environment=environment) == ServeCommand(
        source="hf://org/name",
        hub=HubAccess(endpoint="http://hub", token="sesame"),
        server=ServerSettings(
            served_names=("a", "b"),
            host="0.0.0.0",
            port=8001,
            drain=DrainSettings(propagation_seconds=10, timeout_seconds=200),
            max_running_requests=8,
            max_waiting_requests=7,
        ),
        engine=EngineConfig(
            model=ModelConfig(path=Path("hf://org/name"), dtype="float32", max_model_len=2048),
            cache=CacheConfig(block_size=32, memory_percent=80, memory_bytes=1000),
            scheduler=SchedulerConfig(max_num_seqs=8, max_num_batched_tokens=64),
            device="cpu",
            seed=5,
        ),
        termination_log=Path("/dev/termination-log"),
    )


def test_the_model_alone_is_enough_and_names_itself() -> None:
    made = command("--model", "/models/x", environment={"HF_ENDPOINT": ""})
    assert made.server.served_names == ("/models/x",)
    assert made.hub == HubAccess()


@pytest.mark.parametrize(
    ("flags", "remedy"),
    [
        ([], "the following arguments are required: --model"),
        (["--model", "x", "--dtype", "int3"], "invalid choice: 'int3'"),
        (["--model", "x", "--wings", "2"], "unrecognized arguments: --wings"),
        (["--model", "x", "--port", "http"], "invalid int value: 'http'"),
        (["--model", "x", "--port", "70000"], "--port 70000: must be between 0 and 65535"),
        (["--model", "x", "--block-size", "7"], "--block-size 7: choose 16 or 32 tokens"),
        (["--model", "x", "--served-model-name", ""], "give at least one name that is not empty"),
        (["--model", "x", "--drain-timeout-seconds", "-1"], "must be between 0 and 86400"),
        (["--model", "x", "--drain-propagation-seconds", "nan"], "must be between 0 and 3600"),
        (["--model", "x", "--max-waiting-requests", "-1"], "must not be negative"),
    ],
)
def test_a_wrong_flag_exits_64_with_one_line(
    flags: list[str], remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = cli.main(["serve", *flags])
    except SystemExit as left:
        code = int(str(left.code))
    told = capsys.readouterr().err
    assert code == 64
    assert remedy in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("flags", ["", "--model x --port http", "--model x --wings 2"])
def test_a_wrong_flag_points_to_the_help_of_its_command(
    flags: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(["serve", *flags.split()])
    assert capsys.readouterr().err.endswith("; see octavo serve --help\n")


def test_a_wrong_flag_reaches_the_termination_log(tmp_path: Path) -> None:
    log = tmp_path / "termination"
    assert cli.main(["serve", "--model", "x", "--block-size", "7", "--termination-log", str(log)]) == 64
    assert log.read_text() == "--block-size 7: choose 16 or 32 tokens"


def test_help_teaches_the_first_request(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["serve", "--help"])
    assert left.value.code == 0
    told = capsys.readouterr().out
    for word in ("--model SOURCE", "hf://org/name[@revision]", "curl -s localhost:8000", "exit codes:"):
        assert word in told


def test_version_is_the_distributions(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["version"]) == 0
    assert capsys.readouterr().out.startswith("octavo ")


def test_ctrl_c_while_a_command_is_imported_ends_it_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "uvloop.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); from octavo_engine import cli; sys.exit(cli.main())"
    )
    stopped = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), "serve", "--model", "x"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (stopped.returncode, stopped.stdout, stopped.stderr) == (130, "", "")


class DrainHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert self.path == "/drain"
        body = b'{"drained": false, "unfinished_requests": 2}'
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_drain_starts_in_a_blink_and_says_what_was_cut() -> None:
    """A preStop hook has no time to import a web framework."""
    with HTTPServer(("127.0.0.1", 0), DrainHandler) as server:
        Thread(target=server.handle_request, daemon=True).start()
        python = [sys.executable, "-X", "importtime"]
        started = time.monotonic()
        drained = subprocess.run(
            [*python, "-m", "octavo_engine", "drain", "--port", str(server.server_port)],
            capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
        seconds = time.monotonic() - started
    assert drained.returncode == 0
    assert "time is up with 2 requests unfinished" in drained.stderr
    for heavy in ("fastapi", "torch", "msgspec", "asyncio", "huggingface_hub", "jinja2"):
        assert f" {heavy}\n" not in drained.stderr
    assert seconds < 1.0  # 0.1 s on an idle machine


def test_drain_without_a_server_is_a_failure_with_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["drain", "--port", "1"]) == 1
    assert "no server answers on port 1" in capsys.readouterr().err


def test_a_drain_that_outlasts_the_hook_goes_on_without_it(capsys: pytest.CaptureFixture[str]) -> None:
    with HTTPServer(("127.0.0.1", 0), DrainHandler) as silent:
        assert cli.main(["drain", "--port", str(silent.server_port), "--timeout", "0.05"]) == 0
    assert "still draining after 0.05 s" in capsys.readouterr().err
