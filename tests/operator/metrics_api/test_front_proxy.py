import json
from typing import Any

import pytest

from octavo_operator.metrics_api.front_proxy import FrontProxy, NoFrontProxy

CA = "-----BEGIN CERTIFICATE-----\n..."


def config_map(**data: Any) -> dict[str, Any]:
    return {"data": {name.replace("_", "-"): value for name, value in data.items()}}


def peer(*names: str) -> dict[str, Any]:
    return {"subject": tuple((("commonName", name),) for name in names)}


def test_the_config_map_says_whom_to_trust() -> None:
    found = FrontProxy.from_config_map(
        config_map(
            requestheader_client_ca_file=CA, requestheader_allowed_names=json.dumps(["front", "proxy"])
        )
    )
    assert found == FrontProxy(CA, frozenset({"front", "proxy"}))


@pytest.mark.parametrize(
    "found",
    [
        None,
        {},
        config_map(client_ca_file=CA),
        config_map(requestheader_client_ca_file=""),
        config_map(requestheader_client_ca_file=CA, requestheader_allowed_names="front"),
        config_map(requestheader_client_ca_file=CA, requestheader_allowed_names="1"),
    ],
)
def test_a_cluster_without_a_front_proxy_is_told_what_it_lacks(found: Any) -> None:
    with pytest.raises(NoFrontProxy, match="requestheader-"):
        FrontProxy.from_config_map(found)


def test_an_allowed_name_is_admitted_and_the_last_common_name_counts() -> None:
    front = FrontProxy(CA, frozenset({"front"}))
    assert front.admits(peer("front")) and front.admits(peer("other", "front"))
    assert not front.admits(peer("front", "other"))
    assert not front.admits(peer()) and not front.admits({}) and not front.admits(None)


def test_without_names_every_certificate_of_the_ca_is_admitted() -> None:
    anybody = FrontProxy(CA, frozenset())
    assert anybody.admits(peer("whoever"))
    assert not anybody.admits(None)
