"""A client is who its key says, or nobody."""

from collections.abc import Mapping

import pytest

from octavo_gateway.errors import Unauthorized, Unavailable
from octavo_gateway.keys import ApiKeys
from octavo_gateway.routing import Service, ServicePolicy

OPEN = Service(name="open", served_names=("open",))
LOCKED = Service(name="demo", served_names=("demo",), policy=ServicePolicy(has_auth=True))
SECRET = {"alice": b"sk-alice", "bob": b"sk-bob\n", "nobody": b"  \n", "bob-again": b"sk-bob"}


class Secrets:
    def __init__(self, entries: Mapping[str, bytes] | None) -> None:
        self.entries = entries
        self.keys = ApiKeys(lambda _: self.entries)

    def tenant(self, authorization: bytes | None) -> str:
        return self.keys.tenant(LOCKED, authorization)


def test_a_service_without_auth_serves_everybody_as_nobody() -> None:
    assert Secrets(None).keys.tenant(OPEN, b"Bearer whatever") == ""


@pytest.mark.parametrize("authorization", [b"Bearer sk-alice", b"bearer  sk-alice ", b"BEARER sk-alice"])
def test_a_key_leads_to_its_name(authorization: bytes) -> None:
    assert Secrets(SECRET).tenant(authorization) == "alice"


def test_the_line_end_that_an_editor_left_in_the_secret_is_no_part_of_the_key() -> None:
    assert Secrets(SECRET).tenant(b"Bearer sk-bob") == "bob"


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "missing_api_key"),
        (b"", "missing_api_key"),
        (b"Bearer", "missing_api_key"),
        (b"Bearer  ", "missing_api_key"),
        (b"Basic sk-alice", "missing_api_key"),
        (b"Bearer sk-alic", "invalid_api_key"),
        (b"Bearer sk-alice2", "invalid_api_key"),
        (b"Bearer alice", "invalid_api_key"),
    ],
)
def test_anything_else_is_refused_without_naming_a_key(authorization: bytes | None, code: str) -> None:
    with pytest.raises(Unauthorized) as refusal:
        Secrets(SECRET).tenant(authorization)
    assert (refusal.value.code, refusal.value.headers) == (code, {"www-authenticate": "Bearer"})
    assert b"alice" not in refusal.value.body()


def test_an_empty_secret_lets_nobody_in() -> None:
    with pytest.raises(Unauthorized):
        Secrets({}).tenant(b"Bearer sk-alice")


def test_without_the_secret_no_key_is_right_or_wrong() -> None:
    with pytest.raises(Unavailable) as refusal:
        Secrets(None).tenant(b"Bearer sk-alice")
    assert (refusal.value.code, refusal.value.headers) == ("keys_unavailable", {"retry-after": "5"})


def test_a_changed_secret_counts_from_its_next_request() -> None:
    secrets = Secrets({"alice": b"old"})
    assert secrets.tenant(b"Bearer old") == "alice"
    secrets.entries = {"alice": b"new"}
    assert secrets.tenant(b"Bearer new") == "alice"
    with pytest.raises(Unauthorized):
        secrets.tenant(b"Bearer old")
