"""Against a real HTTP server that does what API servers do to watches."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from scripted_api_server import ScriptedApiServer, failure, item, scripted_api_server
from waiting import until

from octavo_api import informer as informer_module
from octavo_api.api_server import PODS, Manifest
from octavo_api.informer import Informer


class Watched:
    def __init__(self, informer: Informer, server: ScriptedApiServer, told: list[str]) -> None:
        self.informer = informer
        self.server = server
        self.told = told

    @property
    def names(self) -> list[str]:
        return [one["metadata"]["name"] for one in self.informer.of("n", "s")]


@asynccontextmanager
async def watched(*names: str, silent_after: float = 30.0, **settings: Any) -> AsyncIterator[Watched]:
    async with scripted_api_server() as (server, client):
        for name in names:
            server.put(name)
        told: list[str] = []
        informer = Informer(
            client,
            PODS,
            label_selector="service",
            index_label="service",
            on_change=lambda one: told.append(one["metadata"]["name"]),
            silent_after=silent_after,
            **settings,
        )
        task = asyncio.create_task(informer.run())
        try:
            await until(lambda: informer.synced.is_set() and server.num_open_watches == 1)
            yield Watched(informer, server, told)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def test_it_lists_page_by_page_with_the_label_and_then_watches_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(informer_module, "PAGE_SIZE", 2)
    async with watched("a", "b", "c", "d", "e") as it:
        assert it.names == ["a", "b", "c", "d", "e"]
        assert it.told == ["a", "b", "c", "d", "e"]
        assert {one["kind"] for one in it.informer.of("n", "s")} == {"Pod"}
        assert [page.get("continue") for page in it.server.lists] == [None, "2", "4"]
        assert {page["labelSelector"] for page in it.server.lists} == {"service"}
        (watch,) = it.server.watches
        assert (watch["labelSelector"], watch["allowWatchBookmarks"]) == ("service", "true")
        assert watch["resourceVersion"] == str(it.server.version)


async def test_it_follows_additions_changes_and_deletions() -> None:
    async with watched("a") as it:
        it.server.put("b")
        it.server.put("a", colour="red")
        it.server.remove("b")
        await until(lambda: it.told == ["a", "b", "a", "b"])
        assert it.names == ["a"]
        live = it.informer.get("n", "a")
        assert live is not None and live["metadata"]["labels"]["colour"] == "red"


async def test_a_dropped_watch_goes_on_from_where_it_was_without_a_list() -> None:
    async with watched("a") as it:
        it.server.put("b")
        await until(lambda: "b" in it.names)
        it.server.drop_watches()
        await until(lambda: len(it.server.watches) == 2)
        assert it.server.watches[1]["resourceVersion"] == str(it.server.version)
        assert len(it.server.lists) == 1


async def test_a_bookmark_moves_the_version_on() -> None:
    async with watched("a") as it:
        it.server.send({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "77"}}})
        it.server.drop_watches()
        await until(lambda: len(it.server.watches) == 2)
        assert it.server.watches[1]["resourceVersion"] == "77"
        assert it.told == ["a"]


@pytest.mark.parametrize("how", ["as an event", "as an answer"])
async def test_an_expired_version_is_listed_anew_and_what_was_missed_is_told(how: str) -> None:
    async with watched("a", "b") as it:
        it.server.put("c", silently=True)
        it.server.remove("a", silently=True)
        if how == "as an event":
            it.server.send({"type": "ERROR", "object": {"code": 410, "reason": "Expired"}})
        else:
            it.server.watch_failures.append(failure(410, "Expired"))
            it.server.drop_watches()
        await until(lambda: it.names == ["b", "c"])
        assert it.told == ["a", "b", "a", "c"]
        assert len(it.server.lists) == 2


async def test_a_silent_watch_is_given_up_and_opened_again() -> None:
    async with watched("a", silent_after=0.1) as it:
        await until(lambda: len(it.server.watches) >= 3)
        it.server.put("b")
        await until(lambda: "b" in it.names)


async def test_throttling_and_errors_are_waited_out() -> None:
    async with watched("a") as it:
        it.server.watch_failures += [failure(429, "TooManyRequests"), failure(500, "InternalError")]
        it.server.drop_watches()
        await until(lambda: len(it.server.watches) == 4 and it.server.num_open_watches == 1)
        it.server.put("b")
        await until(lambda: "b" in it.names)


async def test_a_watch_that_lasted_is_opened_again_at_once_however_it_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(informer_module, "SHORT_WATCH", 0.0)
    async with watched("a") as it:
        for number in range(8):
            it.server.send({"type": "ERROR", "object": {"code": 500, "reason": "InternalError"}})
            await until(lambda: len(it.server.watches) == number + 2, seconds=1.0)  # noqa: B023
            await until(lambda: it.server.num_open_watches == 1)
        assert it.informer.num_watches == 9


async def test_watches_that_end_at_once_are_opened_with_growing_waits() -> None:
    async with watched("a") as it:
        for _ in range(20):
            it.server.drop_watches()
            await asyncio.sleep(0.05)
        assert len(it.server.watches) < 8


async def test_a_line_that_is_no_json_is_survived() -> None:
    async with watched("a") as it:
        it.server.drop_watches(after=b'{"type": "MODIFIED", "obj')
        await until(lambda: len(it.server.watches) == 2 and it.server.num_open_watches == 1)
        it.server.put("b")
        await until(lambda: "b" in it.names)


async def test_a_page_that_expires_in_the_middle_of_a_list_starts_the_list_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(informer_module, "PAGE_SIZE", 1)
    async with watched("a", "b") as it:
        it.server.list_failures.append(failure(410, "Expired"))
        it.server.send({"type": "ERROR", "object": {"code": 410}})
        await until(lambda: len(it.server.lists) >= 5)
        assert it.names == ["a", "b"]


async def test_an_object_that_changes_its_service_leaves_the_old_one() -> None:
    async with watched("a") as it:
        it.server.put("a", service="other")
        await until(lambda: it.names == [])
        assert len(it.informer.of("n", "other")) == 1


async def test_our_own_write_is_in_the_cache_before_the_watch_brings_it() -> None:
    async with watched("a") as it:
        it.informer.remember(item("a", 50, colour="blue"))
        it.informer.remember(item("a", 40, colour="old"))
        live = it.informer.get("n", "a")
        assert live is not None and live["metadata"]["labels"]["colour"] == "blue"
        assert it.told == ["a"]


def without_colour(raw: Manifest) -> Manifest:
    meta = raw["metadata"]
    labels = {name: value for name, value in meta["labels"].items() if name != "colour"}
    return {"metadata": {**meta, "labels": labels}}


async def test_only_what_the_transform_leaves_is_kept_of_a_list_an_event_and_our_own_write() -> None:
    async with watched("a", transform=without_colour) as it:
        it.server.put("b", colour="red")
        await until(lambda: it.names == ["a", "b"])
        it.informer.remember(item("a", 50, colour="blue"))
        assert [sorted(one) for one in it.informer.of("n", "s")] == [["metadata"], ["metadata"]]
        assert {str(one["metadata"]["labels"]) for one in it.informer.of("n", "s")} == {"{'service': 's'}"}


async def test_a_change_that_the_transform_hides_is_told_to_nobody_and_moves_the_version_on() -> None:
    async with watched("a", transform=without_colour) as it:
        it.server.put("a", colour="red")
        it.server.put("a", colour="red", size="big")
        await until(lambda: it.told == ["a", "a"])
        it.server.put("a", colour="blue", size="big")
        it.server.put("b")
        await until(lambda: "b" in it.told)
        assert it.told == ["a", "a", "b"]
        live = it.informer.get("n", "a")
        assert live is not None and live["metadata"]["resourceVersion"] == str(it.server.version - 1)


async def test_a_namesake_made_anew_is_told_although_it_says_the_same() -> None:
    async with watched("a", transform=without_colour) as it:
        again = item("a", it.server.version + 1)
        again["metadata"]["uid"] = "another"
        it.server.send({"type": "MODIFIED", "object": again})
        await until(lambda: it.told == ["a", "a"])


async def test_it_may_watch_one_object_by_its_name_or_a_whole_kind() -> None:
    async with scripted_api_server() as (server, client):
        server.put("a")
        server.put("b")
        told: list[str] = []
        informer = Informer(
            client,
            PODS,
            field_selector="metadata.name=a",
            on_change=lambda one: told.append(one["metadata"]["name"]),
        )
        task = asyncio.create_task(informer.run())
        await until(lambda: server.num_open_watches == 1)
        server.put("b", colour="red")
        server.put("a", colour="red")
        await until(lambda: told == ["a", "a"])
        assert informer.get("n", "b") is None
        queries = [*server.lists, *server.watches]
        assert {query.get("fieldSelector") for query in queries} == {"metadata.name=a"}
        assert not any("labelSelector" in query for query in queries)
        task.cancel()
