import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fake_registration import API_SERVICE, CONFIG_MAP, FRONT_PROXY, SECRET, FakeRegistration

from octavo_api.api_server import ApiError
from octavo_operator.metrics_api.certificate import LIFETIME, fault, make
from octavo_operator.metrics_api.credentials import CredentialKeeper, NotRegistered
from octavo_operator.metrics_api.front_proxy import NoFrontProxy

NOW = datetime(2026, 11, 26, 5, tzinfo=UTC)


def keeper(server: FakeRegistration) -> CredentialKeeper:
    return CredentialKeeper(server, "octavo-system")


async def test_the_certificate_is_made_once_and_found_again() -> None:
    server = FakeRegistration()
    first = await keeper(server).current(NOW)
    assert fault(first.serving, "octavo-system", NOW) == ""
    assert first.front_proxy == FRONT_PROXY
    assert await keeper(server).current(NOW) == first
    assert server.writes == [f"create {SECRET}"]


async def test_two_replicas_that_start_together_serve_the_same_certificate() -> None:
    server = FakeRegistration()
    one, other = await asyncio.gather(keeper(server).current(NOW), keeper(server).current(NOW))
    assert one == other
    assert server.writes == [f"create {SECRET}"]


async def test_two_replicas_that_renew_together_serve_the_same_certificate() -> None:
    server = FakeRegistration()
    old = await keeper(server).current(NOW)
    later = NOW + LIFETIME * 0.7
    one, other = await asyncio.gather(keeper(server).current(later), keeper(server).current(later))
    assert one == other != old
    assert server.writes == [f"create {SECRET}", f"merge {SECRET}"]


async def test_a_secret_that_is_deleted_before_the_write_is_an_error_and_then_made() -> None:
    server = FakeRegistration()
    await keeper(server).current(NOW)
    server.before_write = lambda: server.objects.pop(SECRET) and None
    with pytest.raises(ApiError, match="written meanwhile"):
        await keeper(server).current(NOW + LIFETIME)
    await keeper(server).current(NOW + LIFETIME)
    assert server.writes == [f"create {SECRET}", f"create {SECRET}"]


@pytest.mark.parametrize(
    "data", [None, {}, {"tls.crt": "!"}, {"ca.crt": "/w==", "tls.crt": "/w==", "tls.key": "/w=="}]
)
async def test_a_secret_that_is_damaged_is_mended(data: Any) -> None:
    server = FakeRegistration()
    await keeper(server).current(NOW)
    server.objects[SECRET]["data"] = data
    mended = await keeper(server).current(NOW)
    assert fault(mended.serving, "octavo-system", NOW) == ""
    assert await keeper(server).current(NOW) == mended


async def test_a_cluster_without_aggregation_is_an_error() -> None:
    server = FakeRegistration()
    del server.objects[CONFIG_MAP]
    with pytest.raises(NoFrontProxy):
        await keeper(server).current(NOW)


async def test_the_api_service_is_told_the_ca_once() -> None:
    server, serving = FakeRegistration(), make("octavo-system", NOW)
    await keeper(server).register(serving, NOW)
    assert server.bundle == serving.ca
    await keeper(server).register(serving, NOW)
    assert server.writes == [f"merge {API_SERVICE}"]


async def test_two_replicas_that_register_together_write_once() -> None:
    server, serving = FakeRegistration(), make("octavo-system", NOW)
    await asyncio.gather(*(keeper(server).register(serving, NOW) for _ in range(2)))
    assert server.bundle == serving.ca
    assert server.writes == [f"merge {API_SERVICE}"]


async def test_a_renewed_ca_is_trusted_beside_the_former() -> None:
    server, former = FakeRegistration(), make("octavo-system", NOW)
    await keeper(server).register(former, NOW)
    later = NOW + timedelta(days=250)
    renewed = make("octavo-system", later)
    await keeper(server).register(renewed, later)
    assert server.bundle == renewed.ca + former.ca


async def test_a_bundle_that_was_overwritten_is_mended() -> None:
    server, serving = FakeRegistration(), make("octavo-system", NOW)
    server.objects[API_SERVICE]["spec"]["caBundle"] = "/w=="
    await keeper(server).register(serving, NOW)
    assert server.bundle == serving.ca


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ({"namespace": "monitoring", "name": "prometheus-adapter"}, "Service monitoring/prometheus-adapter"),
        ({"namespace": "elsewhere", "name": "octavo-metrics-api"}, "Service elsewhere/octavo-metrics-api"),
        (None, "the API server itself"),
    ],
)
async def test_the_api_service_of_another_is_left_alone(service: Any, words: str) -> None:
    server = FakeRegistration(service)
    with pytest.raises(NotRegistered, match=words):
        await keeper(server).register(make("octavo-system", NOW), NOW)
    assert server.writes == []


async def test_without_an_api_service_the_remedy_is_named() -> None:
    server = FakeRegistration()
    del server.objects[API_SERVICE]
    with pytest.raises(NotRegistered, match="apply manifests/metrics-api"):
        await keeper(server).register(make("octavo-system", NOW), NOW)
