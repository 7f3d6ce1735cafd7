import json

import pytest
import torch

from octavo_engine import sampling_bench


def test_the_bench_times_every_setting_on_both_kinds_of_logits(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--rows",
        "2",
        "--vocab-size",
        "500",
        "--repeats",
        "1",
        "--threads",
        str(torch.get_num_threads()),
    ]
    assert sampling_bench.main([*arguments, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert [(result["logits"], result["settings"]) for result in results] == [
        (kind, name) for kind in ("peaked", "flat") for name in sampling_bench.SETTINGS
    ]
    assert all(result["reference"]["median"] >= result["reference"]["best"] > 0 for result in results)
    assert sampling_bench.main([*arguments, "--native-only"]) == 0
    assert capsys.readouterr().out.splitlines()[2].split()[-1] == "-"
