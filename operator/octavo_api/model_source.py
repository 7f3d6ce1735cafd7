"""Where a model comes from: the three forms of spec.model.uri as values."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from octavo_api.errors import InvalidSpec

_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_CLAIM = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_PATH = re.compile(r"[A-Za-z0-9._@+=/-]*")
_URI_FIELD = "spec.model.uri"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubModel:
    """`revision` is a branch, a tag or a commit; None is the repository's main branch."""

    repo: str
    revision: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimModel:
    """`path` is relative to the volume; empty is the volume itself."""

    claim: str
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileModel:
    """`path` is relative to the folder on the node that the operator was started with."""

    path: str


ModelSource = HubModel | ClaimModel | FileModel


def parse_model_uri(uri: str, revision: str | None = None) -> ModelSource:
    """`revision` is spec.model.revision: the same as @revision in the uri, and never given with it."""
    scheme, _, rest = uri.partition("://")
    if scheme == "hf":
        return _hub_model(uri, rest, revision)
    if revision is not None:
        raise InvalidSpec("spec.model.revision", revision, "only hf:// models have revisions; remove it")
    if scheme == "pvc":
        claim, _, path = rest.partition("/")
        if not _CLAIM.fullmatch(claim):
            raise InvalidSpec(_URI_FIELD, uri, "write pvc://CLAIM or pvc://CLAIM/PATH")
        return ClaimModel(claim=claim, path=_inside(uri, path))
    if scheme == "file" and rest.startswith("/") and rest.strip("/"):
        return FileModel(path=_inside(uri, rest))
    raise InvalidSpec(_URI_FIELD, uri, "write hf://ORG/NAME, pvc://CLAIM/PATH or file:///PATH")


def _hub_model(uri: str, rest: str, revision: str | None) -> HubModel:
    repo, at, in_uri = rest.partition("@")
    if not _REPO.fullmatch(repo):
        raise InvalidSpec(_URI_FIELD, uri, "write hf://ORG/NAME or hf://ORG/NAME@REVISION")
    if at and revision is not None:
        raise InvalidSpec(
            "spec.model.revision", revision, "the uri has an @revision already; keep one of them"
        )
    wanted = in_uri if at else revision
    if wanted is not None and not _REVISION.fullmatch(wanted):
        raise InvalidSpec(_URI_FIELD, uri, "a revision is a branch, a tag or a commit")
    return HubModel(repo=repo, revision=wanted)


def _inside(uri: str, path: str) -> str:
    """A path that cannot leave its folder, without slashes at its ends."""
    parts = PurePosixPath(path.strip("/")).parts
    if ".." in parts or not _PATH.fullmatch(path):
        remedy = "the path must stay inside its volume and has letters, digits and ._@+=-/; remove the rest"
        raise InvalidSpec(_URI_FIELD, uri, remedy)
    return "/".join(parts)
