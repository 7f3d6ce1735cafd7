"""Streams as the gateway sees them: events with their comments, and what it remembers to go on elsewhere."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

PREFIX = ": octavo "
TOKEN = "secret-of-the-gateway"
HEADERS = {
    "authorization": f"Bearer {TOKEN}",
    "x-octavo-resumable": "1",
    "x-octavo-tenant": "alice",
    "x-request-id": "req-1",
}


@dataclass(frozen=True, kw_only=True)
class Event:
    comment: dict[str, Any] | None = None
    data: str | None = None

    @property
    def index(self) -> int:
        """Of its choice; -1 for what belongs to none."""
        return -1 if self.comment is None else int(self.comment.get("i", -1))


def read_event(text: str) -> Event:
    comment, data = None, None
    for line in text.split("\n"):
        if line.startswith(PREFIX):
            assert comment is None
            comment = json.loads(line.removeprefix(PREFIX))
        else:
            assert data is None and line.startswith("data: "), line
            data = line.removeprefix("data: ")
    return Event(comment=comment, data=data)


async def stream(url: str, body: dict[str, Any], headers: dict[str, str] = HEADERS) -> list[Event]:
    """All events of a stream; the path is chat's where the body has messages."""
    path = "/v1/chat/completions" if "messages" in body else "/v1/completions"
    async with (
        aiohttp.ClientSession(url) as session,
        session.post(path, json={**body, "stream": True}, headers=headers) as response,
    ):
        text = await response.text()
        assert response.status == 200, text
    *events, rest = text.split("\n\n")
    assert rest == ""
    return [read_event(event) for event in events]


def resume_of(events: Sequence[Event]) -> dict[str, Any]:
    """What a gateway that has seen these events sends as `octavo_resume`."""
    start = next(event.comment["start"] for event in events if event.comment and "start" in event.comment)
    choices = [{"seed": seed, "token_ids": [], "num_chars": 0, "finished": False} for seed in start["seeds"]]
    for event in events:
        if event.index >= 0:
            assert event.comment is not None
            choice = choices[event.index]
            choice["token_ids"] = choice["token_ids"] + event.comment["t"]
            choice["num_chars"] = event.comment["c"]
            choice["finished"] = choice["finished"] or event.comment.get("f", False)
    return {"created": start["created"], "exactness": start["exactness"], "choices": choices}


def said(events: Sequence[Event]) -> dict[int, list[Event]]:
    """By choice, in order; -1 has the usage and [DONE]. How much the prefix cache gave is not compared."""
    by_choice: dict[int, list[Event]] = {}
    for event in events:
        if event.comment is None or "start" not in event.comment:
            by_choice.setdefault(event.index, []).append(_without_cached_tokens(event))
    return by_choice


def _without_cached_tokens(event: Event) -> Event:
    comment, data = event.comment, event.data
    if comment is not None and "usage" in comment:
        comment = {"usage": {**comment["usage"], "cached_tokens": None}}
        if data is not None:
            chunk = json.loads(data)
            chunk["usage"]["prompt_tokens_details"] = None
            data = json.dumps(chunk)
    return Event(comment=comment, data=data)
