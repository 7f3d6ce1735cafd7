"""The command `octavo generate` with a tiny model: files in, files out, interruption and resumption."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tiny_model import make_tiny_model

from octavo_engine import cli


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model"), num_layers=1)


def arguments(folder: Path, *more: str) -> list[str]:
    return ["generate", "--model", str(folder), "--device", "cpu", "--kv-cache-memory", "8000000", *more]


def answers(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_prompts_of_a_file_are_answered_in_a_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompts, output = tmp_path / "p.jsonl", tmp_path / "out.jsonl"
    prompts.write_text(
        '{"prompt": "Blocks are", "max_tokens": 3, "ignore_eos": true}\n'
        '{"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2, "ignore_eos": true, '
        '"id": "b"}\n'
    )
    flags = "--prompts", str(prompts), "--output", str(output), "--temperature", "0"
    assert cli.main(arguments(folder, *flags)) == 0
    first, second = answers(output)
    assert (first["index"], first["usage"]["completion_tokens"], first["finish_reason"]) == (0, 3, "length")
    assert (second["index"], second["id"], second["usage"]["completion_tokens"]) == (1, "b", 2)
    assert "2 of 2 prompts" in capsys.readouterr().err


def test_stdin_goes_in_and_stdout_comes_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Once upon a time\n"))
    assert cli.main(arguments(folder, "--prompts", "-", "--max-tokens", "2", "--chat")) == 0
    assert json.loads(capsys.readouterr().out)["index"] == 0


def test_a_resumed_job_gives_what_an_uninterrupted_one_gives(folder: Path, tmp_path: Path) -> None:
    prompts, whole, resumed = tmp_path / "p.txt", tmp_path / "whole", tmp_path / "resumed"
    prompts.write_text("Blocks\nare\ncounted\n")
    flags = "--prompts", str(prompts), "--max-tokens", "8"
    assert cli.main(arguments(folder, *flags, "--output", str(whole))) == 0
    one, two, _ = whole.read_text().splitlines()
    failed = json.dumps({"index": 0, "error": "the engine died"})
    resumed.write_text(f"{failed}\n{two}\n{one[:20]}")
    assert cli.main(arguments(folder, *flags, "--output", str(resumed), "--resume")) == 0
    assert resumed.read_text() == whole.read_text()


@pytest.mark.parametrize(
    "changed", [["--temperature", "0.5"], ["--seed", "1"], ["--dtype", "bfloat16"], ["--model", "/other"]]
)
def test_answers_made_with_other_flags_are_not_gone_on_with(
    changed: list[str], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.txt").write_text("Blocks\n")
    flags = "--prompts", str(tmp_path / "p.txt"), "--max-tokens", "2", "--output", str(tmp_path / "out")
    assert cli.main(arguments(folder, *flags)) == 0
    assert cli.main(arguments(folder, *flags, "--resume", *changed)) == 64
    assert "made with another prompt, model or sampling" in capsys.readouterr().err


def test_an_interrupted_job_has_written_what_was_answered(folder: Path, tmp_path: Path) -> None:
    prompts, output = tmp_path / "p.jsonl", tmp_path / "out"
    short, long = ({"prompt": "Blocks", "max_tokens": n, "ignore_eos": True} for n in (1, 1000))
    prompts.write_text("".join(json.dumps(line) + "\n" for line in [short] + [long] * 500))
    flags = "--prompts", str(prompts), "--output", str(output), "--max-num-seqs", "4"
    job = subprocess.Popen(
        [sys.executable, "-m", "octavo_engine", *arguments(folder, *flags)],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (output.exists() and output.read_text()):
            assert job.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        job.send_signal(signal.SIGINT)
        _, told = job.communicate(timeout=30)
    finally:
        job.kill()
    assert job.returncode == 130
    assert "interrupted, what was answered is written; --resume goes on from here" in told
    assert "Traceback" not in told
    assert answers(output)[0]["index"] == 0


def test_one_that_fails_is_told_by_the_exit_code(folder: Path, tmp_path: Path) -> None:
    prompts, output = tmp_path / "p.txt", tmp_path / "out"
    prompts.write_text("Blocks are counted " * 400 + "\nBlocks\n")
    flags = "--prompts", str(prompts), "--output", str(output), "--max-tokens", "2"
    assert cli.main(arguments(folder, *flags)) == 1
    assert ["error" in answer for answer in answers(output)] == [True, False]


@pytest.mark.parametrize(
    ("text", "flags", "words"),
    [
        ('{"prompt": 1}\n', [], "line 1: prompt"),
        ("fine", ["--resume"], "--resume: needs --output"),
        ("fine", ["--output", "EXISTING"], "exists; go on with it by --resume, or give another name"),
        ("fine", ["--output", "PROMPTS", "--resume"], "is the file of the prompts; give another name"),
        ("fine", ["--output", "EXISTING", "--resume"], "is not a file of answers; give another --output"),
        ("fine", ["--top-p", "7"], "line 1: top_p 7.0: Expected"),
        ("fine", ["--temperature", "nan"], "line 1: temperature nan: Expected"),
        ("fine", ["--top-p", "inf"], "line 1: top_p inf: Expected"),
        ("fine", ["--min-p", "2"], "line 1: min_p 2.0: Expected"),
        ("fine", ["--repetition-penalty", "0"], "line 1: repetition_penalty 0.0: Expected"),
        ("fine", ["--block-size", "7"], "--block-size 7"),
    ],
)
def test_what_is_wrong_is_told_before_a_model_is_loaded(
    text: str, flags: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p").write_text(text)
    existing = tmp_path / "existing"
    existing.write_text("precious")
    paths = {"EXISTING": str(existing), "PROMPTS": str(tmp_path / "p")}
    flags = [paths.get(flag, flag) for flag in flags]
    assert cli.main(arguments(Path("/nowhere"), "--prompts", str(tmp_path / "p"), *flags)) == 64
    assert words in capsys.readouterr().err
    assert existing.read_text() == "precious"
    assert (tmp_path / "p").read_text() == text


def test_a_chat_without_a_template_is_refused_before_weights_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.txt").write_text("Hello\n")
    assert cli.main(arguments(tmp_path, "--prompts", str(tmp_path / "p.txt"), "--chat")) == 64
    assert "has no chat template: leave out --chat" in capsys.readouterr().err
