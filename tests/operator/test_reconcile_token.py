"""The Secret that gateways show to engines, over whole visits on an API server in memory."""

from datetime import timedelta
from typing import Any

import pytest
from fake_cluster import cluster

from octavo_api.api_server import SECRETS


async def test_the_token_is_there_before_the_pods_that_mount_it() -> None:
    async with cluster() as fake:
        await fake.visit()
        assert fake.server.writes[0] == "create Secret"
        assert "apply Deployment" in fake.server.writes


async def test_the_token_is_made_once_and_made_anew_when_it_is_deleted() -> None:
    async with cluster() as fake:
        await fake.settle()
        (first,) = fake.server.of_kind("Secret")
        await fake.restart()
        await fake.settle()
        assert fake.server.of_kind("Secret") == [first]
        fake.server.remove(SECRETS.path("team", "demo-gateway-token"))
        fake.later += timedelta(minutes=5)
        await fake.settle()
        (second,) = fake.server.of_kind("Secret")
        assert second["data"]["token"] != first["data"]["token"]


async def test_a_token_that_was_seen_is_not_asked_for_at_every_visit() -> None:
    async with cluster() as fake:
        await fake.settle()
        before = fake.server.num_reads["Secret"]
        for _ in range(20):
            await fake.visit()
        assert fake.server.num_reads["Secret"] == before
        fake.later += timedelta(minutes=5)
        await fake.visit()
        assert fake.server.num_reads["Secret"] == before + 1


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ({"metadata": {}, "data": {"token": "eA=="}}, "NameTaken"),
        (
            {
                "metadata": {
                    "labels": {
                        "app.kubernetes.io/managed-by": "octavo-operator",
                        "serving.octavo.dev/service": "demo",
                    }
                }
            },
            "SecretNotFound",
        ),
    ],
)
async def test_a_secret_that_is_not_our_token_is_told_and_never_written_over(
    secret: dict[str, Any], reason: str
) -> None:
    async with cluster() as fake:
        path = SECRETS.path("team", "demo-gateway-token")
        named = {**secret["metadata"], "namespace": "team", "name": "demo-gateway-token"}
        fake.server.put(path, {"kind": "Secret", **secret, "metadata": named})
        before = dict(fake.server.objects[path])
        await fake.settle()
        assert fake.server.objects[path] == before
        assert fake.condition("Ready") == ("False", reason)
