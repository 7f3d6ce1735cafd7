"""The bench with a tiny model. No test asks how fast it was."""

import json
from pathlib import Path

import pytest
from tiny_model import make_tiny_model

from octavo_engine.bench.__main__ import main
from octavo_engine.bench.measure import BURST_REQUESTS


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny"), num_layers=1)


def arguments(folder: Path, *more: str) -> list[str]:
    small = "--batch", "1", "3", "--prompt-tokens", "8", "--output-tokens", "4"
    return ["--model", str(folder), "--device", "cpu", *small, *more]


def test_table_json_and_picture_are_kept_and_can_be_compared(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(folder, "--out", str(tmp_path))) == 0
    printed = capsys.readouterr()
    assert printed.out == (tmp_path / "bench.txt").read_text()
    assert "bench: batch of 3\n" in printed.err
    result = json.loads((tmp_path / "bench.json").read_text())
    assert [batch["batch"] for batch in result["batches"]] == [1, 3]
    assert result["burst"]["requests"] == BURST_REQUESTS
    assert result["environment"]["dtype"] == "float32"
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert main(arguments(folder, "--compare", str(tmp_path / "bench.json"))) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("burst: ")


def test_the_burst_is_the_same_whichever_batches_came_before(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bursts = []
    for batches in (["1"], ["2", "1"]):
        assert main([*arguments(folder), "--json", "--batch", *batches]) == 0
        bursts.append(json.loads(capsys.readouterr().out)["burst"])
    assert bursts[0]["prompt_tokens"] == bursts[1]["prompt_tokens"]
    assert bursts[0]["output_tokens"] == bursts[1]["output_tokens"]


def test_a_former_result_that_is_none_is_refused_before_measuring(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = str(folder / "config.json")
    assert main(arguments(folder, "--compare", other)) == 64
    assert f"--compare {other}: not a result of this bench" in capsys.readouterr().err


def test_prompts_longer_than_the_context_are_an_error_with_a_remedy(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments(folder), "--prompt-tokens", "5000"]) == 64
    assert "lower --prompt-tokens" in capsys.readouterr().err
