"""The real client of the hub against a server that speaks the hub's HTTP API."""

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest
from hub_server import HubHandler, HubServer, HubSettings, Refusal, Repository, running_hub

from octavo_api.model_source import HubModel
from octavo_api.names import Reason
from octavo_operator.hub_client import ask_hub
from octavo_operator.observed import Resolved, Unresolved


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "org" / "name"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / ".revisions").write_text("v1")
    return tmp_path


@pytest.fixture
def hub(root: Path) -> Iterator[HubServer]:
    with running_hub(HubSettings(root=root)) as server:
        yield server


def reason(answer: object) -> Reason:
    assert isinstance(answer, Unresolved)
    return answer.reason


@pytest.mark.parametrize("revision", [None, "main", "v1"])
def test_a_revision_is_resolved_to_its_commit(hub: HubServer, root: Path, revision: str | None) -> None:
    answer = ask_hub(hub.url, HubModel(repo="org/name", revision=revision), None)
    assert answer == Resolved(Repository(root / "org" / "name").commit())


def test_an_absent_repository_is_not_found(hub: HubServer) -> None:
    answer = ask_hub(hub.url, HubModel(repo="org/nope"), None)
    assert reason(answer) == Reason.MODEL_NOT_FOUND
    assert "hf://org/nope" in str(answer) and "spec.model.secretRef is missing" in str(answer)


def test_an_absent_revision_is_not_found(hub: HubServer) -> None:
    answer = ask_hub(hub.url, HubModel(repo="org/name", revision="v9"), None)
    assert reason(answer) == Reason.MODEL_NOT_FOUND
    assert "spec.model.revision" in str(answer)


def test_a_private_repository_opens_with_its_token_alone(root: Path) -> None:
    with running_hub(HubSettings(root=root, token="good")) as hub:
        model = HubModel(repo="org/name")
        assert isinstance(ask_hub(hub.url, model, "good"), Resolved)
        assert reason(ask_hub(hub.url, model, None)) == Reason.MODEL_NOT_FOUND
        refused = ask_hub(hub.url, model, "bad-token")
        assert reason(refused) == Reason.MODEL_AUTH_FAILED
        assert "bad-token" not in str(refused)


class GatedHandler(HubHandler):
    def _check_health_and_token(self) -> None:
        raise Refusal(HTTPStatus.FORBIDDEN, "GatedRepo", "Access to this model is restricted")


def test_a_gated_repository_refuses_and_the_licence_is_named(hub: HubServer) -> None:
    hub.RequestHandlerClass = GatedHandler
    answer = ask_hub(hub.url, HubModel(repo="org/name"), "token-without-access")
    assert reason(answer) == Reason.MODEL_AUTH_FAILED
    assert "licence" in str(answer)


@pytest.mark.parametrize("status", [500, 503])
def test_a_hub_in_trouble_is_not_the_models_fault(root: Path, status: int) -> None:
    with (
        running_hub(HubSettings(root=root, failing_status=status)) as hub,
        pytest.raises(Exception, match=str(status)),
    ):
        ask_hub(hub.url, HubModel(repo="org/name"), None)
