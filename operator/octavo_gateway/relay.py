"""One request upstream: tried again before its first byte, gone on with after a broken stream."""

import asyncio
import logging
from collections.abc import Callable, Container, Mapping, Set
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from octavo_api.names import HEADER_RESUMABLE, HEADER_TENANT
from octavo_gateway.client import Client, encoded
from octavo_gateway.client_stream import ClientStream
from octavo_gateway.continuation import usage_of
from octavo_gateway.errors import ApiError, BadGateway
from octavo_gateway.logs import log_event
from octavo_gateway.patience import FAILURES, Patience
from octavo_gateway.request_body import RequestBody
from octavo_gateway.retry_budget import RetryBudget
from octavo_gateway.routing import (
    BreakReason,
    ContinuationOutcome,
    Endpoint,
    Recorder,
    Service,
    Table,
    Ticket,
)
from octavo_gateway.upstream import Answer, Broken, Reason, Setback, Upstream, error_code

logger = logging.getLogger(__name__)
_PASSED_ON = (b"content-type", b"accept", b"user-agent", b"traceparent", b"tracestate")
"""Headers of a client that are the engine's business; the rest ends here, x-octavo-* above all."""
_PATIENT_SECONDS = 1.0
"""A client that gives a replica less time than this says nothing of the replica by leaving."""
_MAX_LOST_REPLICAS = 3
"""A request that broke off so many, before its first byte and after it, may be what breaks them."""


@dataclass(slots=True, kw_only=True)
class Job:
    """One client's request, let in. `revision` and `pod` answer it, or failed to; `error` is what it said."""

    client: Client
    service: Service
    tenant: str
    body: RequestBody
    ticket: Ticket
    arrived_at: float
    revision: str = ""
    pod: str = ""
    began_on: str = ""
    """The revision of the replica that began the answer."""
    is_seamless: bool = True
    """Its stream has not broken."""
    num_lost: int = 0
    error: Answer | None = None

    def lose(self) -> None:
        """A replica broke off. Raises BadGateway when that was the last to be risked."""
        self.num_lost += 1
        if self.num_lost >= _MAX_LOST_REPLICAS:
            raise BadGateway(f"{self.num_lost} replicas broke off while they answered", code="replica_failed")


class Relay:
    """`clock` is the event loop's."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        table: Table,
        recorder: Recorder,
        clock: Callable[[], float],
        max_continuations: int,
    ) -> None:
        self._upstream = upstream
        self._table = table
        self._recorder = recorder
        self._clock = clock
        self._max_continuations = max_continuations
        self._budgets: dict[str, RetryBudget] = {}

    def forget_all_but(self, services: Container[str]) -> None:
        self._budgets = {name: budget for name, budget in self._budgets.items() if name in services}

    async def run(self, job: Job) -> int:
        """Answer the client. The status that it amounts to: 599 for a stream cut short.

        Raises ApiError while nothing has been sent.
        """
        stream = ClientStream(job.client, encoded(job.ticket.headers), self._clock)
        try:
            broken_at = await self._begin(job, stream)
            if broken_at is not None and not await self._go_on(job, stream, broken_at):
                return 599
            assert job.client.status is not None
            return job.client.status
        except ApiError:
            if job.error is None:
                raise
            await self._send_whole(job, job.error)
            return job.error.status
        except asyncio.CancelledError:
            # Leaving before the answer must not be a way around the limits: the prompt was asked for.
            if job.pod and job.client.status is None:
                self._settle(job, job.body.cost.prompt_tokens, 0)
            raise
        finally:
            if stream.has_begun:
                self._account(job, stream)

    async def _begin(self, job: Job, stream: ClientStream) -> Endpoint | None:
        """The whole answer, or the replica on which its stream broke."""
        patience = self._patience(job, job.arrived_at)
        self._budget(job.service).request_came()
        while True:
            async with job.ticket.endpoint(avoid=patience.avoid, prefix=_prefix(job)) as endpoint:
                job.revision = job.began_on = endpoint.revision
                job.pod = endpoint.pod
                reason: Reason = "reset"
                try:
                    await self._ask(job, endpoint, stream, patience)
                    return None
                except Setback as setback:
                    reason, job.error = setback.reason, setback.answer or job.error
                except Broken:
                    if stream.has_begun:
                        return endpoint
                    if stream.progress.failed == "draining":
                        reason = "draining"
            self._log(job, "replica gave no answer", reason)
            if reason == "reset":
                job.lose()
            if reason not in FAILURES:
                # When none is left, that is no failure of the one that was full or left.
                job.revision = ""
            await patience.bear(reason, endpoint)
            # What it failed is counted with the retry: it does not answer for what comes next.
            job.revision = ""

    async def _ask(self, job: Job, endpoint: Endpoint, stream: ClientStream, patience: Patience) -> None:
        asked_at = self._clock()
        try:
            async with self._post(job, endpoint, job.body.raw) as answer:
                if answer.stream is not None:
                    await stream.take(answer)
                elif answer.status >= 500 and patience.may_keep_error(endpoint):
                    raise Setback("failed", answer)
                else:
                    await self._send_whole(job, answer)
        except asyncio.CancelledError:
            now, is_waiting = self._clock(), job.body.is_stream and job.client.status is None
            if is_waiting and now - asked_at >= _PATIENT_SECONDS:
                # It was at least that. A revision that hangs would else have no streams by which to tell.
                self._recorder.first_token(job.service.name, endpoint.revision, now - job.arrived_at)
            raise

    async def _go_on(self, job: Job, stream: ClientStream, broken_at: Endpoint) -> bool:
        """Whether the broken stream came to its end; if not, its client has been told why."""
        job.is_seamless = False
        broken: set[Endpoint] = set()
        end = _CannotGoOn("exhausted", "the replica that made it is gone")
        for _ in range(self._max_continuations):
            self._log(job, "stream broke", stream.progress.failed or "broken")
            broken.add(broken_at)
            try:
                if _why_broken(stream) == "broken":
                    _lose(job)
                broken_again = await self._continue_once(job, stream, broken)
            except _CannotGoOn as reached:
                end = reached
                break
            if broken_again is None:
                return True
            broken_at = broken_again
        reason = _why_broken(stream)
        self._recorder.continued(job.service.name, job.revision, reason, end.outcome)
        if reason == "draining":
            job.revision = ""
        await stream.fail(end.error)
        return False

    async def _continue_once(self, job: Job, stream: ClientStream, broken: Set[Endpoint]) -> Endpoint | None:
        """None when the stream is complete, else the replica on which it broke again."""
        if not stream.progress.is_resumable:
            raise _CannotGoOn("refused", "its tokens are not reproducible on another replica")
        patience = self._patience(job, self._clock(), job.began_on)
        patience.avoid |= broken
        body = stream.progress.resume_body(job.body.raw)
        try:
            while True:
                async with job.ticket.endpoint(avoid=patience.avoid, revision=job.began_on) as endpoint:
                    job.pod = endpoint.pod
                    try:
                        async with self._post(job, endpoint, body) as answer:
                            if answer.stream is None:
                                refusal = error_code(answer.body) or f"status {answer.status}"
                                raise _CannotGoOn("refused", f"another replica refused it: {refusal}")
                            self._recorder.continued(
                                job.service.name, job.revision, _why_broken(stream), "continued"
                            )
                            job.revision = endpoint.revision
                            await stream.take(answer)
                            return None
                    except Setback as setback:
                        reason = setback.reason
                    except Broken:
                        return endpoint
                if reason == "reset":
                    _lose(job)
                await patience.bear(reason, endpoint)
        except ApiError as error:
            raise _CannotGoOn("no_replica", error.message) from None

    def _post(self, job: Job, endpoint: Endpoint, body: bytes) -> AbstractAsyncContextManager[Answer]:
        return self._upstream.post(endpoint, job.client.path, body, self._headers(job))

    def _headers(self, job: Job) -> Mapping[str, str]:
        given = job.client.headers
        headers = {name.decode(): given[name].decode("latin-1") for name in _PASSED_ON if name in given}
        headers["x-request-id"] = job.client.request_id
        headers["authorization"] = f"Bearer {self._table.token(job.service)}"
        if job.tenant:
            headers[HEADER_TENANT] = job.tenant
        if job.body.is_stream:
            headers[HEADER_RESUMABLE] = "1"
        return headers

    def _patience(self, job: Job, since: float, revision: str | None = None) -> Patience:
        return Patience(
            job.service,
            deadline=since + job.service.policy.queue_timeout_seconds,
            table=self._table,
            budget=self._budget(job.service),
            recorder=self._recorder,
            clock=self._clock,
            revision=revision,
        )

    def _budget(self, service: Service) -> RetryBudget:
        if service.name not in self._budgets:
            self._budgets[service.name] = RetryBudget(self._clock())
        return self._budgets[service.name]

    async def _send_whole(self, job: Job, answer: Answer) -> None:
        usage = usage_of(answer.body) if answer.status == 200 else None
        if usage is not None:
            self._settle(job, usage.prompt_tokens, usage.completion_tokens)
        elif answer.status < 500:
            # Without it a refused request would be free, and could be sent without end.
            job.ticket.settle(prompt_tokens=0, completion_tokens=0)
        headers = [*answer.headers, *encoded(job.ticket.headers)]
        await job.client.answer(answer.status, headers, answer.body)

    def _account(self, job: Job, stream: ClientStream) -> None:
        """Of a stream, also of one that its client left."""
        progress, names = stream.progress, (job.service.name, job.began_on)
        num_tokens = progress.usage.completion_tokens if progress.usage else progress.num_tokens
        if progress.start is not None:
            self._settle(job, progress.start.prompt_tokens, num_tokens)
        self._recorder.first_token(*names, stream.first_event_at - job.arrived_at)
        if num_tokens > 1 and job.is_seamless:
            self._recorder.per_token(*names, (self._clock() - stream.first_event_at) / (num_tokens - 1))

    def _settle(self, job: Job, prompt_tokens: int, completion_tokens: int) -> None:
        job.ticket.settle(prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)
        self._recorder.usage(job.service.name, job.tenant, prompt_tokens, completion_tokens)

    def _log(self, job: Job, event: str, reason: str) -> None:
        log_event(
            logger, logging.WARNING, event, request_id=job.client.request_id, pod=job.pod, reason=reason
        )


class _CannotGoOn(Exception):
    def __init__(self, outcome: ContinuationOutcome, why: str) -> None:
        super().__init__(why)
        self.outcome = outcome
        self.error = _interrupted(why)


def _why_broken(stream: ClientStream) -> BreakReason:
    return "draining" if stream.progress.failed == "draining" else "broken"


def _lose(job: Job) -> None:
    try:
        job.lose()
    except ApiError as error:
        raise _CannotGoOn("exhausted", error.message) from None


def _interrupted(why: str) -> ApiError:
    return BadGateway(
        f"the answer broke off and could not be continued: {why}; ask again", code="stream_interrupted"
    )


def _prefix(job: Job) -> bytes:
    return job.tenant.encode() + b"\0" + job.body.prefix
