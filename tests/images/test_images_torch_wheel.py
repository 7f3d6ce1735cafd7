"""Which wheel of torch an image takes."""

import pytest

from images.torch_wheel import requirement


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


def test_a_cpu_wheel_is_named_with_its_local_version() -> None:
    assert requirement(["torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"]) == "torch==2.13.0+cpu"


@pytest.mark.parametrize(
    "name",
    [
        "torch-2.13.0+cpu-cp312-cp312-manylinux_2_28_x86_64.whl",
        "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_aarch64.whl",
        "torchvision-0.9-cp311-cp311-manylinux_2_28_x86_64.whl",
        "notes.txt",
    ],
)
def test_a_wheel_that_does_not_fit_the_image_is_passed_over(name: str) -> None:
    assert requirement([name]) is None
