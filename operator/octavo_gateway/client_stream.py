"""One stream as its client sees it: begun once, made of whole events, whichever replicas they come from."""

import asyncio
import contextlib
from collections.abc import Callable

import aiohttp
import msgspec

from octavo_gateway.client import Client, Header
from octavo_gateway.continuation import StreamProgress
from octavo_gateway.errors import ApiError
from octavo_gateway.event_stream import LAST_EVENT, EventSplitter, join_events, split_comment
from octavo_gateway.upstream import Answer, Broken, next_bytes

Clock = Callable[[], float]
_LAST_BYTES_SECONDS = 1.0


class ClientStream:
    """`has_begun` says whether anything was sent: until then the whole request may be tried again."""

    def __init__(self, client: Client, headers: list[Header], clock: Clock) -> None:
        self.progress = StreamProgress()
        self.has_begun = False
        self.first_event_at = 0.0
        self._client = client
        self._headers = headers
        self._clock = clock

    async def take(self, answer: Answer) -> None:
        """Relay the answer's events to the last. Raises Broken where they end before it."""
        assert answer.stream is not None
        splitter = EventSplitter()
        if not self.has_begun:
            self.progress = StreamProgress()
        # What another replica said of itself is not this one's word.
        self.progress.failed = None
        while data := await self._next_bytes(answer.stream):
            if not (events := splitter.feed(data)):
                continue
            ours, is_last = self._for_client(events)
            if ours and not self.has_begun:
                await self._begin(answer)
            if is_last:
                await self._client.finish(join_events(ours))
                await _read_to_end(answer.stream)
                return
            if ours:
                await self._client.send(join_events(ours))
            if self.progress.failed:
                break
        if self.progress.usage is None or not self.has_begun:
            raise Broken
        # All was said but the last event itself.
        await self._client.finish(join_events([LAST_EVENT]))

    async def _next_bytes(self, stream: aiohttp.StreamReader) -> bytes:
        """Behind the usage only the last event is missing, so a break there is as good as an end."""
        try:
            return await next_bytes(stream)
        except Broken:
            if self.progress.usage is None:
                raise
            return b""

    def _for_client(self, events: list[bytes]) -> tuple[list[bytes], bool]:
        """What of the events the client gets, and whether the last event of all is there."""
        ours: list[bytes] = []
        for event in events:
            comment, data = split_comment(event)
            if comment:
                self._note(comment)
                if self.progress.failed:
                    # What follows is the engine's word of its failure; the stream may yet go on elsewhere.
                    return ours, False
            if data:
                ours.append(data)
                if data == LAST_EVENT:
                    return ours, True
        return ours, False

    def _note(self, comment: bytes) -> None:
        try:
            self.progress.note(comment)
        except (msgspec.DecodeError, IndexError):
            raise Broken from None

    async def _begin(self, answer: Answer) -> None:
        self.has_begun = True
        self.first_event_at = self._clock()
        await self._client.start(answer.status, [*answer.headers, *self._headers])

    async def fail(self, error: ApiError) -> None:
        """End a stream that has begun and cannot be completed.

        OpenAI's clients raise at an event with an error in it. [DONE] does not follow: for readers that
        know nothing else, it is the mark of a whole answer.
        """
        await self._client.finish(join_events([b"data: " + error.body()]))


async def _read_to_end(stream: aiohttp.StreamReader) -> None:
    """The end of the body follows the last event in an instant; once read, the connection can be kept."""
    with contextlib.suppress(Broken, TimeoutError):
        if not stream.at_eof():
            async with asyncio.timeout(_LAST_BYTES_SECONDS):
                await next_bytes(stream)
