import json
from pathlib import Path

import pytest
from tiny_model import make_tiny_model

from octavo_engine import bench


def test_the_bench_measures_every_batch_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(make_tiny_model(tmp_path, num_layers=1))
    arguments = ["--model", folder, "--device", "cpu", "--batch", "1", "3", "--max-tokens", "4"]
    capsys.readouterr()
    assert bench.main([*arguments, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert [result["batch"] for result in results] == [1, 3]
    assert all(result["decode_rate"] > 0 and result["prefill_rate"] > 0 for result in results)
    assert bench.main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[-1] == "tok/s"
