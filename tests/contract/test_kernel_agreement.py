"""What the engine states of the compiled kernels, beside their source."""

import re

from octavo_engine.worker.program_model import MAX_HEAD_DIM, MAX_QUERY_HEADS
from octavo_kernels.native.build import PACKAGE


def constant(source: str, name: str) -> int:
    found = re.search(rf"\b{name} = (\d+)", (PACKAGE / source).read_text())
    assert found is not None, f"{source} has no {name}"
    return int(found[1])


def test_the_engine_knows_what_attention_cannot_compute() -> None:
    attention = "paged_attention/cpu.h"
    assert constant(attention, "kMaxHeadDim") == MAX_HEAD_DIM
    assert constant(attention, "kMaxLanes") == MAX_QUERY_HEADS
