import json
from typing import Any

import pytest

from octavo_engine import host_bench
from octavo_kernels.native.instruction_set import supported_instruction_sets

pytestmark = pytest.mark.skipif(not supported_instruction_sets(), reason="no kernels for this processor")


def test_it_times_the_host_of_decode_steps_beside_the_kernels(capsys: pytest.CaptureFixture[str]) -> None:
    assert host_bench.main(["--sequences", "1", "40", "--steps", "20", "--json"]) == 0
    one, forty = results = json.loads(capsys.readouterr().out)["results"]
    assert [(result["sequences"], result["steps"]) for result in results] == [(1, 20), (40, 20)]
    for result in results:
        for part in ("host", "core", "kernels"):
            assert 0 < result[part]["least"] <= result[part]["median"] <= result[part]["p99"]
        assert result["core"]["least"] < result["host"]["least"], "the worker's part is missing"

    def growth(part: str) -> Any:
        return forty[part]["least"] - one[part]["least"]

    assert growth("kernels") > growth("host"), "more rows of 32,000 logits are mostly the kernels' matter"


def test_the_table_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert host_bench.main(["--sequences", "3", "--steps", "10"]) == 0
    title, heading, row = capsys.readouterr().out.splitlines()
    assert title.startswith("host time of a decode step beside the compiled kernels")
    assert heading.split()[0] == "sequences"
    assert row.split()[0] == "3"


def test_without_compiled_kernels_it_says_what_it_lacks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("octavo_kernels.native.library.supported_instruction_sets", lambda: [])
    assert host_bench.main([]) == 1
    assert "no compiled CPU kernels" in capsys.readouterr().err
