"""What the Dockerfiles promise to whoever builds them, without building them."""

import re
import tomllib
from pathlib import Path

import pytest

from images import IMAGES, MISBEHAVING, Image

ROOT = Path(__file__).parents[2]
ALL = (*IMAGES, MISBEHAVING)
DOCKERFILES = [ROOT / image.dockerfile for image in ALL]


def instructions(dockerfile: Path) -> list[str]:
    """The instructions, continued lines joined, comments left out."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.startswith("#")]
    return [line for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line.strip()]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_needs_no_buildkit(dockerfile: Path) -> None:
    special = [
        each
        for each in instructions(dockerfile)
        if "<<" in each or re.match(r"(RUN|COPY) .*--(mount|link)", each)
    ]
    assert special == [] and "# syntax=" not in dockerfile.read_text()


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.parent.name)
def test_ends_as_a_numeric_user_so_that_run_as_non_root_can_be_checked(dockerfile: Path) -> None:
    assert [each for each in instructions(dockerfile) if each.startswith("USER")][-1] == "USER 10001:10001"


@pytest.mark.parametrize("image", ALL, ids=lambda image: image.name)
def test_starts_from_the_tag_that_is_made_where_there_is_no_registry_or_from_another_of_our_images(
    image: Image,
) -> None:
    stages = [each.split() for each in instructions(ROOT / image.dockerfile) if each.startswith("FROM")]
    names = {words[3] for words in stages if len(words) == 4}
    below = f"${{{image.stands_on.name.upper()}}}" if image.stands_on else "debian:bookworm-slim"
    assert {words[1].removeprefix("docker.io/library/") for words in stages} - names == {below}


@pytest.mark.parametrize("image", ALL, ids=lambda image: image.name)
def test_every_source_that_is_copied_is_part_of_the_hash_and_of_the_context(image: Image) -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = [
        word
        for each in instructions(ROOT / image.dockerfile)
        if re.match(r"COPY (?!--from)", each)
        for word in each.split()[1:-1]
    ]
    for source in {Path(word) for word in copied}:
        top = next(s for s in map(Path, image.sources) if source == s or s in source.parents)
        assert f"!{top}" in ignored


def test_the_script_in_the_engine_image_is_the_one_that_pip_would_write() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, function = scripts["octavo"].split(":")
    dockerfile = (ROOT / "engine/Dockerfile").read_text()
    assert f"'from {module} import {function}'" in dockerfile and f"'sys.exit({function}())'" in dockerfile


def test_the_operator_s_image_runs_the_gateway_too() -> None:
    dockerfile = (ROOT / "operator/Dockerfile").read_text()
    assert "*extras['operator'], *extras['gateway']" in dockerfile
    assert "COPY operator /app/" in dockerfile and (ROOT / "operator/octavo_gateway/__main__.py").exists()
