from datetime import timedelta

from operator_builders import BEFORE, NOW, deployment, revision, service

from octavo_operator.rollout import Rollout, surge

OLD = service()
NEW = service(model={"uri": "hf://org/new"})
NEWEST = service(model={"uri": "hf://org/newest"})
UPDATE = revision(NEW).hash8


def test_the_old_revision_stays_while_the_new_one_comes_up() -> None:
    old, new = deployment(OLD, ready=1), deployment(NEW)
    assert surge([old, new], UPDATE, 1) == Rollout(keep=(old,))


def test_the_old_revision_goes_when_the_new_one_is_available() -> None:
    old, new = deployment(OLD, ready=1), deployment(NEW, ready=1)
    assert surge([old, new], UPDATE, 1) == Rollout(retire=(old,))


def test_the_old_revision_stays_until_all_wanted_replicas_of_the_new_one_are_there() -> None:
    old, new = deployment(OLD, ready=2, replicas=2), deployment(NEW, ready=1)
    assert surge([old, new], UPDATE, 2) == Rollout(keep=(old,))


def test_counts_of_an_older_generation_prove_nothing() -> None:
    old, new = deployment(OLD, ready=1), deployment(NEW, ready=1, observedGeneration=0)
    assert surge([old, new], UPDATE, 1) == Rollout(keep=(old,))


def test_an_old_revision_that_serves_nobody_goes_when_the_new_one_stands() -> None:
    old, new = deployment(OLD), deployment(NEW)
    assert surge([old, new], UPDATE, 1) == Rollout(retire=(old,))


def test_nothing_goes_before_the_new_deployment_stands() -> None:
    old = deployment(OLD)
    assert surge([old], UPDATE, 1) == Rollout(keep=(old,))


def test_nothing_goes_while_the_new_revision_is_not_known() -> None:
    old = deployment(OLD, ready=1)
    assert surge([old], None, 1) == Rollout(keep=(old,))


def test_a_change_of_mind_strands_no_third_revision() -> None:
    serving, abandoned = deployment(OLD, ready=1), deployment(NEW, created=BEFORE + timedelta(minutes=1))
    newest = deployment(NEWEST, created=NOW)
    assert surge([serving, abandoned, newest], revision(NEWEST).hash8, 1) == Rollout(
        keep=(serving,), retire=(abandoned,)
    )
