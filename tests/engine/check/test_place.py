"""Which memory a check holds a model against: this machine's, or what was said of another."""

import pytest

from octavo_engine.check.place import Place, Unknown
from octavo_engine.config import DeviceName
from octavo_engine.errors import AcceleratorFault, InvalidEngineConfig
from octavo_engine.worker.device_memory import promised_memory, read_memory

MIB = 1 << 20


def test_a_container_s_limit_stands_for_this_machine_s_memory() -> None:
    place = Place(memory_limit=100 * MIB)
    assert place.memory("cpu") == promised_memory("cpu", 100 * MIB)
    assert place.memory("auto") == promised_memory("cpu", 100 * MIB)


def test_without_a_word_about_another_place_it_is_this_machine() -> None:
    here, read = Place().memory("cpu"), read_memory("cpu")
    assert not isinstance(here, Unknown)
    assert (here.device, here.limit) == ("cpu", read.limit)
    with pytest.raises(AcceleratorFault, match="sees no CUDA device"):
        Place(memory_limit=100 * MIB).memory("cuda")


@pytest.mark.parametrize(
    ("place", "device", "words"),
    [
        (Place(elsewhere=True), "cpu", "memory, because the engine's container has no limit"),
        (Place(elsewhere=True), "cuda", "the GPU and its memory"),
        # The limit is of the container's memory, and weights go to the GPU.
        (Place(elsewhere=True, memory_limit=100 * MIB), "cuda", "the GPU and its memory"),
    ],
)
def test_what_is_not_said_of_another_place_is_not_known(place: Place, device: DeviceName, words: str) -> None:
    unknown = place.memory(device)
    assert isinstance(unknown, Unknown) and words in unknown.why


def test_a_gpu_that_is_somewhere_else_need_not_be_here() -> None:
    place = Place(elsewhere=True, memory_limit=1, accelerator_memory=1 << 34)
    assert place.memory("cuda") == promised_memory("cuda", 1 << 34)
    assert Place(accelerator_memory=1 << 34).memory("auto") == promised_memory("cuda", 1 << 34)


@pytest.mark.parametrize("flag", ["--memory-limit", "--accelerator-memory"])
def test_no_memory_at_all_is_a_mistake(flag: str) -> None:
    with pytest.raises(InvalidEngineConfig, match=f"{flag} 0: must be positive"):
        Place(**{flag[2:].replace("-", "_"): 0})
