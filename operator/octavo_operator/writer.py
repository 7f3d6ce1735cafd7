"""Writing children: never over somebody else's object, and every refusal said in the user's words."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from octavo_api.api_server import SECRETS, ApiError, ApiServer
from octavo_api.names import FIELD_MANAGER, TOKEN_SECRET_KEY, Reason
from octavo_operator.children import Children
from octavo_operator.observed import Key, Manifest, Refusal
from octavo_operator.ownership import Ownership
from octavo_operator.work_queue import RetryLater

log = logging.getLogger(__name__)

# Conflicts, throttling, no answer: to be tried again and of no interest to the user.
PASSING = frozenset({0, 404, 409, 429})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    refusals: tuple[Refusal, ...] = ()
    retry: RetryLater | None = None


class Refused(Exception):
    """We do not write it ourselves; a person has to look."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Writer:
    def __init__(self, server: ApiServer, children: Children) -> None:
        self._server = server
        self._children = children

    async def write(
        self,
        key: Key,
        whose: Callable[[Manifest], Ownership],
        *,
        create: Iterable[Manifest] = (),
        apply: Iterable[Manifest] = (),
    ) -> Outcome:
        """Every child is tried, whatever happens to the one before. `create` holds Secrets alone."""
        refusals: list[Refusal] = []
        retry: RetryLater | None = None
        todo = [(self._create, item, "created") for item in create]
        todo += [(self._apply, item, "applied") for item in apply]
        for write, manifest, done in todo:
            name = f"{manifest['kind']} {manifest['metadata']['name']}"
            try:
                await write(manifest, whose)
                log.info("%s: %s %s", key, done, name)
            except Refused as error:
                refusals.append(Refusal(child=name, reason=error.reason, message=str(error), terminal=True))
            except RetryLater as error:
                retry = error
            except ApiError as error:
                if error.status in PASSING or error.status >= 500:
                    retry = RetryLater(f"{name}: {error}", error.retry_after)
                if error.status not in PASSING:
                    refusals.append(_refusal(name, error))
        return Outcome(refusals=tuple(refusals), retry=retry)

    async def _create(self, manifest: Manifest, whose: Callable[[Manifest], Ownership]) -> None:
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        if (live := await self._server.get(SECRETS, namespace, name)) is not None:
            _require_ours(live, whose)
            raise Refused(
                Reason.SECRET_NOT_FOUND,
                f"its key {TOKEN_SECRET_KEY} is gone; delete the Secret, and the operator makes it anew",
            )
        await self._server.create(SECRETS, namespace, manifest)

    async def _apply(self, manifest: Manifest, whose: Callable[[Manifest], Ownership]) -> None:
        informer = self._children.of_kind(manifest["kind"])
        metadata = manifest["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        live = informer.get(namespace, name) or await self._server.get(informer.resource, namespace, name)
        if live is not None:
            _require_ours(live, whose)
            # With the uid nobody else's object can slip in between the look and the write.
            metadata = {**metadata, "uid": live["metadata"]["uid"]}
        written = await self._server.apply(
            informer.resource.path(namespace, name),
            {**manifest, "metadata": metadata},
            field_manager=FIELD_MANAGER,
        )
        informer.remember(written)


def _require_ours(live: Manifest, whose: Callable[[Manifest], Ownership]) -> None:
    match whose(live):
        case Ownership.FOREIGN:
            raise Refused(
                Reason.NAME_TAKEN,
                "an object of this name exists and is not ours; delete or rename it, "
                "or give the InferenceService another name",
            )
        case Ownership.LEFTOVER:
            name = f"{live['kind']} {live['metadata']['name']}"
            raise RetryLater(f"{name} of a deleted namesake is being collected", 2.0)


def _refusal(child: str, error: ApiError) -> Refusal:
    reason = Reason.QUOTA_EXCEEDED if "exceeded quota" in error.message else Reason.ADMISSION_REFUSED
    if error.status == 422 and "immutable" in error.message:
        reason = Reason.IMMUTABLE_CHILD_CONFLICT
    remedy = "change spec as the message says" if error.status in (400, 422) else "ask who runs the cluster"
    message = f"the API server refuses it ({error.status}): {error.message}; {remedy}"
    return Refusal(child=child, reason=reason, message=message, terminal=error.status in (400, 422))
