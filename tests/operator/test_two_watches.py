"""kopf's watch and the informer's, each as fast or slow as the test wants."""

import pytest

from octavo_api.informer import Informer
from octavo_operator.observed import ObjectKey
from octavo_operator.two_watches import TwoWatches

KEY = ObjectKey("team", "demo")


class Cache(Informer):
    """What the informer knows, without a watch."""

    def __init__(self) -> None:
        self.versions: dict[ObjectKey, int] = {}

    def get(self, namespace: str, name: str) -> dict[str, object] | None:
        version = self.versions.get(ObjectKey(namespace, name))
        return None if version is None else {"metadata": {"resourceVersion": str(version)}}


class Watched:
    def __init__(self) -> None:
        self.now = 100.0
        self.visited: list[ObjectKey] = []
        self.cache = Cache()
        self.watches = TwoWatches(self.cache, self.visited.append, clock=lambda: self.now)

    def informer_tells(self, version: int | None) -> None:
        """None: it is gone."""
        self.cache.versions.pop(KEY, None)
        if version is not None:
            self.cache.versions[KEY] = version
        self.watches.informer_knows(KEY)


def test_what_kopf_tells_is_visited_at_once() -> None:
    it = Watched()
    it.watches.kopf_tells(KEY, 5)
    assert it.visited == [KEY]


@pytest.mark.parametrize("first", ["kopf", "informer"])
def test_two_watches_that_agree_owe_each_other_nothing(first: str) -> None:
    it = Watched()
    for version in (5, 6, 9):
        if first == "kopf":
            it.watches.kopf_tells(KEY, version)
            it.informer_tells(version)
        else:
            it.informer_tells(version)
            it.watches.kopf_tells(KEY, version)
        it.now += 60
    it.watches.help_out()
    assert it.watches.behind() == 0.0
    assert it.visited == [KEY] * 3


def test_what_kopf_does_not_tell_is_visited_without_it_once_a_change() -> None:
    it = Watched()
    it.watches.kopf_tells(KEY, 5)
    it.informer_tells(6)
    it.now += 9
    it.watches.help_out()
    assert it.visited == [KEY]
    it.now += 2
    it.informer_tells(7)
    for _ in range(3):
        it.watches.help_out()
    assert it.visited == [KEY, KEY]
    assert it.watches.behind() == 11.0
    it.informer_tells(8)
    it.watches.help_out()
    assert it.visited == [KEY, KEY, KEY]


def test_it_is_behind_until_it_has_told_all() -> None:
    it = Watched()
    it.informer_tells(6)
    it.now += 5
    it.informer_tells(8)
    it.watches.kopf_tells(KEY, 6)
    it.now += 1
    assert it.watches.behind() == 1.0
    it.watches.kopf_tells(KEY, 8)
    assert it.watches.behind() == 0.0


@pytest.mark.parametrize("first", ["kopf", "informer"])
def test_a_deleted_service_is_owed_by_nobody(first: str) -> None:
    it = Watched()
    it.informer_tells(5)
    it.watches.kopf_tells(KEY, 5)
    it.informer_tells(6)
    if first == "kopf":
        it.watches.kopf_tells(KEY, 7, deleted=True)
        it.informer_tells(None)
    else:
        it.informer_tells(None)
        it.watches.kopf_tells(KEY, 7, deleted=True)
    it.now += 60
    it.watches.help_out()
    assert it.watches.behind() == 0.0
    assert it.watches.num_known == 0
