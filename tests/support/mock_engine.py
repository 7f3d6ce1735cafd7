"""An engine as the gateway meets it: OpenAI's replies, comments on the stream, resume, and faults on order.

Token k of a choice is a function of the choice's seed and k, and so is its text: whether a stream was
continued rightly can be told from its text alone.
"""

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

TOKEN = "the-token"
_COMPACT = (",", ":")

FaultKind = Literal[
    "reset",  # the connection is reset
    "end",  # the body ends in good order, without its last event
    "torn",  # reset in the midst of an event
    "failed",  # the engine says that it gave up
    "no_done",  # all was said, usage too, but the last event
    "reset_before_done",  # the same, and the connection is reset
    "draining",
    "model_loading",
    "overloaded",
    "token",
    "not_served",
    "internal",
    "bad_request",
    "silent",  # nothing more comes
]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What befalls one request: at once, or after so many tokens were sent."""

    kind: FaultKind
    after: int | None = None


@dataclass(frozen=True, kw_only=True)
class Received:
    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        parsed = json.loads(self.raw)
        assert isinstance(parsed, dict)
        return parsed


def token_id(seed: int, position: int) -> int:
    return (seed * 31 + position * 7) % 50_000


def token_text(seed: int, position: int) -> str:
    return f"<{token_id(seed, position)}é{position}>"


def whole_text(seed: int, num_tokens: int) -> str:
    return "".join(token_text(seed, position) for position in range(num_tokens))


@dataclass(kw_only=True)
class MockEngine:
    host: str = "127.0.0.1"
    exactness: str = "abc123"
    num_tokens: int = 10
    pace_seconds: float = 0.0
    pad_bytes: int = 0
    """So many bytes more in each event."""
    faults: list[Fault] = field(default_factory=list)
    """Taken by requests in turn; when none is left, all goes well."""
    refuses_resume: bool = False
    has_comments: bool = True
    received: list[Received] = field(default_factory=list)
    peers: set[object] = field(default_factory=set)
    """Connections that requests came on."""
    num_open: int = 0
    num_events_written: int = 0
    port: int = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["MockEngine"]:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/{tail:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, self.host, self.port)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.num_open += 1
        try:
            raw = await request.read()
            assert request.transport is not None
            self.peers.add(request.transport.get_extra_info("peername"))
            headers = {name.lower(): value for name, value in request.headers.items()}
            self.received.append(Received(path=request.path, headers=headers, raw=raw))
            fault = self.faults.pop(0) if self.faults else None
            if fault is not None and fault.after is None:
                return await self._refuse(request, fault)
            if request.headers.get("authorization") != f"Bearer {TOKEN}":
                return _error(401, "gateway_token_required")
            body = json.loads(raw)
            if "octavo_resume" in body and (
                self.refuses_resume or body["octavo_resume"]["exactness"] != self.exactness
            ):
                return _error(409, "not_resumable")
            if body.get("stream"):
                return await self._stream(request, body, fault)
            if self.pace_seconds:
                await asyncio.sleep(self.pace_seconds)
            headers = {"x-octavo-exactness": self.exactness, "x-octavo-ignored-fields": "zebra"}
            return web.json_response(self._whole(body), headers=headers)
        finally:
            self.num_open -= 1

    async def _refuse(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        match fault.kind:
            case "draining":
                return _error(503, "server_draining", {"x-octavo-draining": "true", "retry-after": "1"})
            case "model_loading":
                return _error(503, "model_loading", {"retry-after": "5"})
            case "overloaded":
                return _error(503, "server_overloaded", {"retry-after": "1"})
            case "token":
                return _error(401, "gateway_token_required")
            case "not_served":
                return _error(404, "model_not_found")
            case "internal":
                return _error(500, "internal_error")
            case "bad_request":
                return _error(400, "bad_field")
            case "silent":
                await asyncio.sleep(3600)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    def _whole(self, body: dict[str, Any]) -> dict[str, Any]:
        seed = body.get("seed", 0)
        choices = [
            {"index": index, "text": whole_text(seed + index, self.num_tokens)}
            for index in range(body.get("n") or 1)
        ]
        return {"choices": choices, "usage": self._usage(len(choices))}

    def _usage(self, num_choices: int) -> dict[str, int]:
        return {"prompt_tokens": 5, "completion_tokens": self.num_tokens * num_choices}

    async def _stream(
        self, request: web.Request, body: dict[str, Any], fault: Fault | None
    ) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={"content-type": "text/event-stream; charset=utf-8", "x-octavo-exactness": self.exactness}
        )
        await response.prepare(request)
        num_sent = 0
        for event in self._events(body, is_resumable=request.headers.get("x-octavo-resumable") == "1"):
            if fault is not None and _is_due(fault, event, num_sent):
                await self._break_off(request, response, fault, event)
                return response
            await response.write(event.data)
            self.num_events_written += 1
            num_sent += event.is_text
            if self.pace_seconds:
                await asyncio.sleep(self.pace_seconds)
        return response

    async def _break_off(
        self, request: web.Request, response: web.StreamResponse, fault: Fault, event: "_Event"
    ) -> None:
        match fault.kind:
            case "end" | "no_done":
                return
            case "failed":
                await response.write(b': octavo {"failed":"draining"}\ndata: {"error":{"message":"x"}}\n\n')
                await response.write(b"data: [DONE]\n\n")
                return
            case "silent":
                await asyncio.sleep(3600)
            case "torn":
                await response.write(event.data[: len(event.data) // 2])
        # What was written reaches the peer before the reset does.
        await asyncio.sleep(0.01)
        assert request.transport is not None
        request.transport.abort()

    def _events(self, body: dict[str, Any], *, is_resumable: bool) -> Iterator["_Event"]:
        comments = self.has_comments and is_resumable
        resume = body.get("octavo_resume")
        num_choices = body.get("n") or 1
        first_seed = body.get("seed", secrets.randbelow(10_000))
        seeds = [choice["seed"] for choice in resume["choices"]] if resume else []
        seeds = seeds or [first_seed + index for index in range(num_choices)]
        created = resume["created"] if resume else 1_700_000_000
        known = [len(choice["token_ids"]) for choice in resume["choices"]] if resume else [0] * num_choices
        num_chars = [0] * num_choices
        start = {"prompt_tokens": 5, "created": created, "seeds": seeds, "exactness": self.exactness}
        if comments:
            yield _Event(_comment({"start": start}) + b"\n")
        for position in range(self.num_tokens):
            for index, seed in enumerate(seeds):
                num_chars[index] += len(token_text(seed, position))
                if position >= known[index]:
                    said = {"i": index, "t": [token_id(seed, position)], "c": num_chars[index]}
                    if position == self.num_tokens - 1:
                        said["f"] = True
                    comment = _comment(said) if comments else b""
                    yield _Event(comment + self._data(seed, index, position, created), True)
        if comments:
            yield _Event(_comment({"usage": {**self._usage(len(seeds)), "cached_tokens": 0}}) + b"\n")
        yield _Event(b"data: [DONE]\n\n")

    def _data(self, seed: int, index: int, position: int, created: int) -> bytes:
        reason = "length" if position == self.num_tokens - 1 else None
        choice = {"index": index, "text": token_text(seed, position), "finish_reason": reason}
        chunk = {"created": created, "choices": [choice], "pad": "x" * self.pad_bytes}
        return b"data: " + json.dumps(chunk, separators=_COMPACT).encode() + b"\n\n"


@dataclass(frozen=True)
class _Event:
    data: bytes
    is_text: bool = False


def _is_due(fault: Fault, event: _Event, num_sent: int) -> bool:
    if fault.kind in ("no_done", "reset_before_done"):
        return event.data == b"data: [DONE]\n\n"
    return num_sent == fault.after and (event.is_text or num_sent > 0)


def _comment(said: dict[str, Any]) -> bytes:
    return b": octavo " + json.dumps(said, separators=_COMPACT).encode() + b"\n"


def _error(status: int, code: str, headers: dict[str, str] | None = None) -> web.Response:
    error = {"message": f"the engine says {code}", "type": "server_error", "param": None, "code": code}
    return web.json_response({"error": error}, status=status, headers=headers)
