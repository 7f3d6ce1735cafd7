"""A preflight on the way from a plan to the cluster and back."""

from datetime import UTC, datetime

import pytest
from fake_cluster import KEY, FakeCluster, cluster
from operator_builders import NOW, revision, service

from octavo_operator.observed import Observed
from octavo_operator.plan import Plan
from octavo_operator.preflight import PreflightView
from octavo_operator.preflight_seen import PreflightSeen
from octavo_operator.render.preflight import preflight_job

DEMO = service(model={"uri": "file:///a"})
WANTED = revision(DEMO, commit=None)


async def seen(fake: FakeCluster) -> PreflightSeen | None:
    await fake.caches_are_current()
    observed = await fake._cluster.observe(KEY, NOW)
    assert set(observed.preflights) <= {WANTED.hash8}
    return observed.preflights.get(WANTED.hash8)


async def execute(fake: FakeCluster, todo: Plan) -> Observed:
    observed = await fake._cluster.observe(KEY, NOW)
    outcome = await fake._cluster.execute(observed, todo)
    assert (outcome.refusals, outcome.retry) == ((), None)
    return observed


async def with_preflight(fake: FakeCluster) -> None:
    uid = fake.service["metadata"]["uid"]
    job = preflight_job(DEMO, WANTED)
    job["metadata"]["ownerReferences"][0]["uid"] = uid
    await execute(fake, Plan(apply=(job,)))


@pytest.mark.parametrize(
    ("checks", "outcome", "words"),
    [
        ({}, "passed", "fits"),
        ({"/model/a": (67, "there is no such folder")}, "failed", "there is no such folder"),
    ],
)
async def test_a_preflight_that_was_written_is_seen_with_the_end_of_its_pod(
    checks: dict[str, tuple[int, str]], outcome: str, words: str
) -> None:
    async with cluster() as fake:
        fake.world.checks |= checks
        assert await seen(fake) is None
        await with_preflight(fake)
        made = await seen(fake)
        assert made is not None and made.pods == ()
        fake.world.step()
        view = PreflightView.of(await seen(fake), datetime.now(UTC))
        assert (view.revision, view.outcome) == (WANTED.hash8, outcome)
        assert words in view.message


async def test_a_preflight_that_is_spent_goes_with_its_pods() -> None:
    async with cluster() as fake:
        await with_preflight(fake)
        fake.world.step()
        spent = await seen(fake)
        assert spent is not None and len(spent.pods) == 1
        await execute(fake, Plan(spent_preflights=(spent,)))
        assert fake.server.writes[-1] == "delete Job"
        fake.world.step()
        assert await seen(fake) is None
        assert fake.server.of_kind("Pod") == []


async def test_the_job_of_a_namesake_that_was_deleted_is_none_of_ours() -> None:
    async with cluster() as fake:
        await with_preflight(fake)
        job = fake.server.of_kind("Job")[0]
        job["metadata"]["ownerReferences"][0]["uid"] = "an older uid"
        fake.server.changed(f"/apis/batch/v1/namespaces/team/jobs/{job['metadata']['name']}")
        assert await seen(fake) is None
