"""Model sources, with the real hub client against a small hub on loopback."""

import errno
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_server import HubServer, HubSettings, Repository, running_hub

from octavo_engine import download_progress
from octavo_engine.download_progress import progress_text
from octavo_engine.errors import (
    EngineError,
    InvalidEngineConfig,
    ModelAuthFailed,
    ModelFetchFailed,
    ModelNotFound,
)
from octavo_engine.sources import HubAccess, HubModel, parse_hub_model, resolve_source

WEIGHTS = bytes(range(256)) * 400
FILES = {
    "config.json": b"{}",
    "tokenizer.json": b'{"a": 1}',
    "chat_template.jinja": b"{{ messages }}",
    "model.safetensors": WEIGHTS,
    "nested/tokenizer.model": b"sp",
    "pytorch_model.bin": b"pickle",
    "README.md": b"# words",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "hub" / "org" / "tiny"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / ".revisions").write_text("v1 refs-pr-1")
    return tmp_path / "hub"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The client reads HF_HOME when it is imported, so its own constant is what a test can move."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def hub(root: Path, cache: Path) -> Iterator[HubServer]:
    with running_hub(HubSettings(root)) as running:
        yield running


def fetched(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def failure(source: str, hub: HubAccess) -> EngineError:
    with pytest.raises(EngineError) as caught:
        resolve_source(source, hub)
    return caught.value


def test_a_folder_and_its_uri_are_themselves(tmp_path: Path) -> None:
    spaced = tmp_path / "a model"
    spaced.mkdir()
    assert resolve_source(str(spaced), HubAccess()) == spaced
    assert resolve_source(f"file://{tmp_path}/a%20model", HubAccess()) == spaced


def test_a_missing_folder_is_named_and_a_repository_name_is_recognised(tmp_path: Path) -> None:
    missing = failure(f"file://{tmp_path}/none", HubAccess())
    assert (type(missing), str(missing)) == (
        ModelNotFound,
        f"--model file://{tmp_path}/none: there is no folder {tmp_path}/none; "
        "check the path and what is mounted there",
    )
    assert "did you mean hf://org/name?" in str(failure("org/name", HubAccess()))
    (tmp_path / "file").touch()
    assert "is a file; give the folder" in str(failure(str(tmp_path / "file"), HubAccess()))


@pytest.mark.parametrize(
    "source",
    [
        "s3://bucket/x",
        "pvc://claim/x",
        "file://host/x",
        "hf://justname",
        "hf://a/b/c",
        "hf://a/b@",
        "hf:///b",
    ],
)
def test_a_source_of_a_wrong_form_is_a_wrong_flag(source: str) -> None:
    error = failure(source, HubAccess())
    assert isinstance(error, InvalidEngineConfig)
    assert source in str(error)


def test_a_hub_source_has_a_repository_and_perhaps_a_revision() -> None:
    assert parse_hub_model("hf://org/name") == HubModel(repository="org/name", revision=None)
    assert parse_hub_model("hf://org/name@v1.0") == HubModel(repository="org/name", revision="v1.0")


def test_a_repository_is_fetched_without_what_no_engine_reads(hub: HubServer) -> None:
    folder = resolve_source("hf://org/tiny", HubAccess(endpoint=hub.url))
    assert fetched(folder) == {
        name: content for name, content in FILES.items() if not name.endswith((".bin", ".md"))
    }


def test_what_is_in_the_cache_is_not_fetched_again_and_serves_while_the_hub_is_away(
    hub: HubServer, root: Path
) -> None:
    access = HubAccess(endpoint=hub.url)
    first = resolve_source("hf://org/tiny@main", access)
    hub.requests.clear()
    assert resolve_source("hf://org/tiny@main", access) == first
    assert not any(request.startswith("GET /org/tiny/resolve") for request in hub.requests)
    object.__setattr__(hub.settings, "failing_status", 503)
    assert resolve_source("hf://org/tiny@main", access) == first


def test_a_revision_is_a_name_or_a_commit(hub: HubServer, root: Path) -> None:
    commit = Repository(root / "org/tiny").commit()
    for revision in ("main", "v1", commit):
        folder = resolve_source(f"hf://org/tiny@{revision}", HubAccess(endpoint=hub.url))
        assert folder.name == commit


def test_only_files_that_are_missing_are_fetched_again(hub: HubServer, cache: Path) -> None:
    access = HubAccess(endpoint=hub.url)
    folder = resolve_source("hf://org/tiny", access)
    weights = folder / "model.safetensors"
    blob = weights.resolve()
    weights.unlink()
    blob.unlink()
    hub.requests.clear()
    assert fetched(resolve_source("hf://org/tiny", access))["model.safetensors"] == WEIGHTS
    fetches = [request for request in hub.requests if request.startswith("GET /org/tiny/resolve")]
    assert [fetch.rpartition("/")[2] for fetch in fetches] == ["model.safetensors"]


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        ("hf://org/none", ModelNotFound, "no such repository, or it is private and needs a token"),
        ("hf://org/tiny@v9", ModelNotFound, "no such revision"),
        ("hf://or--g/ti..ny", InvalidEngineConfig, "not a valid repository name"),
    ],
)
def test_what_the_hub_does_not_have_is_said(
    hub: HubServer, source: str, kind: type[EngineError], words: str
) -> None:
    error = failure(source, HubAccess(endpoint=hub.url))
    assert (type(error), words in str(error)) == (kind, True)
    assert str(error).startswith(source) or f"--model {source}" in str(error)


def test_a_private_repository_needs_its_token(root: Path, cache: Path) -> None:
    with running_hub(HubSettings(root, token="sesame")) as hub:
        without = failure("hf://org/tiny", HubAccess(endpoint=hub.url))
        wrong = failure("hf://org/tiny", HubAccess(endpoint=hub.url, token="wrong-token"))
        folder = resolve_source("hf://org/tiny", HubAccess(endpoint=hub.url, token="sesame"))
    assert isinstance(without, ModelNotFound)
    assert "needs a token (HF_TOKEN)" in str(without)
    assert isinstance(wrong, ModelAuthFailed)
    assert "the token is valid" in str(wrong)
    assert "wrong-token" not in str(wrong) + repr(HubAccess(token="wrong-token"))
    assert (folder / "config.json").is_file()


def test_a_gated_repository_asks_for_access(root: Path, cache: Path) -> None:
    with running_hub(HubSettings(root, gated=frozenset({"org/tiny"}))) as hub:
        error = failure("hf://org/tiny", HubAccess(endpoint=hub.url))
    assert isinstance(error, ModelAuthFailed)
    assert str(error) == (
        "hf://org/tiny: access to it is gated; give a token of an account with access (HF_TOKEN)"
    )


@pytest.mark.parametrize(("status", "kind"), [(500, ModelFetchFailed), (403, ModelAuthFailed)])
def test_a_hub_in_trouble_is_worth_another_try(
    root: Path, cache: Path, status: int, kind: type[EngineError], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_hub(HubSettings(root, failing_status=status)) as hub:
        error = failure("hf://org/tiny", HubAccess(endpoint=hub.url))
    assert (type(error), str(status) in str(error)) == (kind, True)


def test_a_hub_that_does_not_answer_is_worth_another_try(cache: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        error = failure("hf://org/tiny", HubAccess(endpoint=endpoint))
    assert isinstance(error, ModelFetchFailed)
    assert f"cannot reach {endpoint}" in str(error)


def test_a_full_disk_and_a_read_only_cache_are_told_apart(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(number: int) -> Any:
        def snapshot_download(*args: object, **kwargs: object) -> str:
            raise OSError(number, "no", "/models/hf")

        return snapshot_download

    monkeypatch.setattr("huggingface_hub.snapshot_download", failing(errno.ENOSPC))
    assert "the disk is full" in str(failure("hf://org/tiny", HubAccess(endpoint=hub.url)))
    monkeypatch.setattr("huggingface_hub.snapshot_download", failing(errno.EROFS))
    assert "cannot write to /models/hf" in str(failure("hf://org/tiny", HubAccess(endpoint=hub.url)))


def test_progress_is_lines_and_no_bars(
    hub: HubServer,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(download_progress, "SECONDS_BETWEEN_LINES", 0.0)
    with caplog.at_level(logging.INFO, "octavo_engine"):
        resolve_source("hf://org/tiny", HubAccess(endpoint=hub.url))
    lines = [record.message for record in caplog.records if record.message.startswith("downloading")]
    assert lines[-1] == "downloading 100% (0.0 of 0.0 GB)"
    assert capfd.readouterr() == ("", "")
    assert progress_text(1.25e9, 3.4e9) == "downloading 37% (1.2 of 3.4 GB)"
