"""The command `octavo check`: what it prints, writes and exits with."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_model import make_tiny_model

from octavo_engine import cli
from octavo_engine.check.report import Problem, Report
from octavo_engine.commands.check import MAX_TERMINATION_BYTES, termination_json
from octavo_engine.machine import Machine

SECTIONS = {
    "schema",
    "fits",
    "exit_code",
    "verdict",
    "source",
    "machine",
    "problems",
    "model",
    "memory",
    "capacity",
    "not_checked",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"), num_layers=1)


def test_the_verdict_is_the_first_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", str(folder), "--device", "cpu", "--max-num-seqs", "4"]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == f"{folder} fits: 1024 tokens of context, and 4 requests of that length at once"
    assert {line.split("  ")[1] for line in rest if line} == {
        "machine", "architecture", "layers", "checkpoint", "chat template", "memory", "weights", "positions",
        "one step", "a token", "KV cache", "context", "at once",
    }  # fmt: skip


def test_the_model_may_be_given_as_serve_takes_it(capsys: pytest.CaptureFixture[str]) -> None:
    flags = [
        "check",
        "--model",
        "/nowhere",
        "--device",
        "cpu",
        "--served-model-name",
        "a",
        "b",
        "--port",
        "9",
    ]
    assert cli.main(flags) == 67
    assert capsys.readouterr().out.startswith("/nowhere cannot be served")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "one of the arguments MODEL --model is required"),
        (["x", "--model", "x"], "argument --model: not allowed with argument MODEL"),
        (["x", "--port", "70000"], "--port 70000: must be between 0 and 65535"),
        (["x", "--memory-limit", "0"], "--memory-limit 0: must be positive"),
    ],
)
def test_a_flag_that_serve_would_refuse_is_refused(
    flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = cli.main(["check", *flags])
    except SystemExit as left:
        code = int(str(left.code))
    assert (code, words in capsys.readouterr().err) == (64, True)


def test_a_check_for_another_machine_says_what_it_could_not_see(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "termination"
    flags = ["check", str(folder), "--elsewhere", "--termination-log", str(log), "--device"]
    assert cli.main([*flags, "cuda"]) == 0
    assert log.read_text().startswith("can be read, and the flags are right; not checked: the GPU")
    assert cli.main([*flags, "cpu", "--memory-limit", str(100 << 20)]) == 66
    assert "MiB are left for the KV cache beside the weights" in log.read_text()
    assert cli.main([*flags, "cpu", "--memory-limit", str(1 << 30)]) == 0
    assert "cannot be served" in capsys.readouterr().out


def test_what_is_wrong_follows_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "/nowhere", "--device", "cpu"]) == 67
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == "/nowhere cannot be served"
    assert second.startswith("  error: --model /nowhere: there is no folder /nowhere")


def test_json_is_one_object_and_so_is_the_termination_message(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "termination"
    arguments = ["check", str(folder), "--device", "cpu", "--json", "--termination-log", str(log)]
    assert cli.main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) == SECTIONS
    assert (report["schema"], report["fits"], report["capacity"]["max_model_len"]) == (1, True, 1024)
    assert set(json.loads(log.read_text())) == SECTIONS


def test_the_termination_message_is_a_sentence_without_json(tmp_path: Path) -> None:
    log = tmp_path / "termination"
    assert cli.main(["check", "/nowhere", "--device", "cpu", "--termination-log", str(log)]) == 67
    assert log.read_text().startswith("cannot be served: --model /nowhere: there is no folder")
    assert cli.main(["check", "/nowhere", "--block-size", "7", "--termination-log", str(log)]) == 64
    assert log.read_text() == "--block-size 7: choose 16 or 32 tokens"


def test_a_termination_message_that_kubernetes_would_cut_is_shortened_and_still_json() -> None:
    machine = Machine(cpu="x", num_cpus=1, instruction_set="AVX2")
    problem = Problem(severity="error", message="ü" * 5000, exit_code=65)
    message = termination_json(Report(source="x", machine=machine, problems=(problem,)))
    assert len(message) <= MAX_TERMINATION_BYTES
    short = json.loads(message)
    assert (short["fits"], short["exit_code"]) == (False, 65)
    assert short["verdict"].startswith("cannot be served: üüü")


def test_a_check_on_a_cpu_does_not_wait_for_pytorch(folder: Path) -> None:
    checked = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "octavo_engine", "check", str(folder), "--device", "cpu"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert " octavo_engine.check.verdict\n" in checked.stderr
    for heavy in ("torch", "fastapi", "huggingface_hub"):
        assert f" {heavy}\n" not in checked.stderr
