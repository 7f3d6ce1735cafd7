import json

import pytest

from octavo_engine import host_bench


@pytest.mark.parametrize("depth", ["1", "2"])
def test_it_times_decode_steps_of_every_size(capsys: pytest.CaptureFixture[str], depth: str) -> None:
    assert host_bench.main(["--sequences", "1", "40", "--steps", "20", "--depth", depth, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert [(result["sequences"], result["steps"]) for result in results] == [(1, 20), (40, 20)]
    assert all(0 < result["least"] <= result["median"] <= result["p99"] for result in results)


def test_the_table_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert host_bench.main(["--sequences", "3", "--steps", "10"]) == 0
    title, heading, row = capsys.readouterr().out.splitlines()
    assert title.startswith("host time of a decode step beside the executor")
    assert heading.split()[0] == "sequences"
    assert row.split()[0] == "3"
