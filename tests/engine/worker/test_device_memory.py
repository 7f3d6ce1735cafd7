from dataclasses import replace

import pytest

from octavo_engine.errors import AcceleratorFault
from octavo_engine.worker.device_memory import (
    GPU_CONTEXT_BYTES,
    DeviceMemory,
    choose_device,
    promised_memory,
)


def memory(limit: int | None) -> DeviceMemory:
    return DeviceMemory(device="cpu", device_name="CPU", limit=limit, available=1000, held=100)


def test_without_a_limit_a_share_is_of_what_is_available() -> None:
    assert (memory(None).offered, memory(None).free_share(90)) == (1000, 900)


def test_with_a_limit_a_share_is_of_the_limit_less_what_is_held() -> None:
    assert (memory(800).offered, memory(800).free_share(50)) == (800, 300)


def test_a_limit_above_what_the_machine_has_left_is_worth_no_more_than_that() -> None:
    assert memory(9000).free_share(90) == 1000


def test_what_will_be_held_is_gone_from_both_sides() -> None:
    assert memory(800).holding(200) == replace(memory(800), available=800, held=300)


def test_a_promised_limit_is_all_there_is_but_for_a_gpu_s_context() -> None:
    promised = promised_memory("cpu", 1000)
    assert (promised.offered, promised.free_share(90)) == (1000, 900)
    promised = promised_memory("cuda", 10 * GPU_CONTEXT_BYTES)
    assert promised.offered == 10 * GPU_CONTEXT_BYTES
    assert (
        promised.free_share(90) == promised.free_share(95) - GPU_CONTEXT_BYTES // 2 == 8 * GPU_CONTEXT_BYTES
    )
    assert promised.free_share(100) == promised.available == 9 * GPU_CONTEXT_BYTES


def test_auto_takes_the_gpu_where_there_is_one() -> None:
    assert (choose_device("auto", has_cuda=True), choose_device("auto", has_cuda=False)) == ("cuda", "cpu")
    assert choose_device("cpu", has_cuda=True) == "cpu"


def test_a_gpu_that_is_not_there_is_an_error() -> None:
    with pytest.raises(AcceleratorFault, match="sees no CUDA device"):
        choose_device("cuda", has_cuda=False)
