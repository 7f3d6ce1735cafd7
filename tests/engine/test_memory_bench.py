import json

import pytest

from octavo_engine import memory_bench


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, float]]:
    assert memory_bench.main([*arguments, "--json"]) == 0
    results: list[dict[str, float]] = json.loads(capsys.readouterr().out)["results"]
    return results


def test_a_burst_fills_the_blocks_it_holds_and_runs_many_more_than_contiguous_memory_would(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (result,) = run(capsys, "--requests", "64", "--cache-tokens", "16384")
    assert result["used"] >= 0.95
    assert result["mean_at_once"] >= 3 * result["contiguous_at_once"]
    assert result["computed_again"] < 0.05


def test_a_common_prompt_lets_more_run_in_the_same_memory(capsys: pytest.CaptureFixture[str]) -> None:
    (result,) = run(capsys, "--requests", "64", "--cache-tokens", "16384", "--system-tokens", "1024")
    assert result["used"] >= 0.95
    assert result["most_at_once"] > 16384 / (1024 + 100)


def test_the_table_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert memory_bench.main(["--requests", "8"]) == 0
    title, heading, row = capsys.readouterr().out.splitlines()
    assert title == "32768 tokens of KV cache in blocks of 16, 0 tokens of common prompt"
    assert "at once" in heading
    assert row.split()[0] == "8"
