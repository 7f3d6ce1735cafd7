"""Where a model comes from: a folder of this machine, or a repository of a model hub.

    /path  file:///path           the folder itself
    hf://org/name[@revision]      downloaded into the hub client's cache; complete files are not fetched again

Whatever goes wrong becomes one of our errors, whose exit code tells the operator whether to try again.
"""

import contextlib
import errno
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from octavo_engine.errors import (
    EngineError,
    InvalidEngineConfig,
    ModelAuthFailed,
    ModelFetchFailed,
    ModelNotFound,
)
from octavo_engine.logs import log_event

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

logger = logging.getLogger(__name__)

# What an engine reads; weights in other formats and papers stay where they are.
FILES_BESIDE_WEIGHTS = ("*.json", "*.jinja", "*.model", "*.txt")
FILES_OF_A_MODEL = ("*.safetensors", *FILES_BESIDE_WEIGHTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubAccess:
    """None is the hub client's own default. The token stays out of every repr and message."""

    endpoint: str | None = None
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubModel:
    repository: str
    revision: str | None

    def __str__(self) -> str:
        return f"hf://{self.repository}" + (f"@{self.revision}" if self.revision else "")


def resolve_source(source: str, hub: HubAccess, files: Sequence[str] = FILES_OF_A_MODEL) -> Path:
    """The model's folder; of a hub's repository downloads the files that match one of the patterns first."""
    scheme = source.partition("://")[0] if "://" in source else ""
    if scheme == "hf":
        return _download(parse_hub_model(source), hub, files)
    if scheme == "file":
        return _folder(source, _path_of_file_uri(source))
    if scheme == "":
        return _folder(source, Path(source))
    if scheme == "pvc":
        raise InvalidEngineConfig(
            f"--model {source}: the operator mounts the claim and passes the mounted folder; give a folder"
        )
    raise InvalidEngineConfig(
        f"--model {source}: unknown scheme {scheme}://; use a folder, file:///path or hf://org/name[@revision]"
    )


def parse_hub_model(source: str) -> HubModel:
    repository, _, revision = source.removeprefix("hf://").partition("@")
    parts = repository.split("/")
    if len(parts) != 2 or not all(parts) or ("@" in source and not revision):
        raise InvalidEngineConfig(
            f"--model {source}: write hf://organisation/name or hf://organisation/name@revision"
        )
    return HubModel(repository=repository, revision=revision or None)


def _path_of_file_uri(source: str) -> Path:
    parts = urlsplit(source)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise InvalidEngineConfig(f"--model {source}: write file:///absolute/path, with three slashes")
    return Path(unquote(parts.path))


def _folder(source: str, path: Path) -> Path:
    if path.is_dir():
        return path
    if path.exists():
        raise ModelNotFound(f"--model {source}: {path} is a file; give the folder that holds config.json")
    hint = f" (did you mean hf://{source}?)" if source.count("/") == 1 and "://" not in source else ""
    raise ModelNotFound(
        f"--model {source}: there is no folder {path}{hint}; check the path and what is mounted there"
    )


def _download(model: HubModel, hub: HubAccess, files: Sequence[str]) -> Path:
    # Slow imports, which a local folder does not need.
    from huggingface_hub import snapshot_download

    from octavo_engine.download_progress import LoggedProgress

    log_event(logger, logging.INFO, "fetching the model", model=model)
    with hub_errors(model, hub):
        folder = snapshot_download(
            model.repository,
            revision=model.revision,
            allow_patterns=list(files),
            endpoint=hub.endpoint,
            token=hub.token if hub.token else False,
            tqdm_class=LoggedProgress,
        )
    log_event(logger, logging.INFO, "the model is here", model=model, folder=folder)
    return Path(folder)


@contextlib.contextmanager
def hub_errors(model: HubModel, hub: HubAccess) -> Iterator[None]:
    """Whatever the hub's client raises within becomes one of our errors."""
    try:
        yield
    except Exception as error:
        translated = _translate(error, model, hub)
        if translated is None:
            raise
        raise translated from error


def _translate(error: Exception, model: HubModel, hub: HubAccess) -> EngineError | None:
    from httpx2 import HTTPError
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    match error:
        case GatedRepoError():
            return _auth_failed(model, hub, "access to it is gated")
        case RevisionNotFoundError():
            return ModelNotFound(f"{model}: the repository has no such revision; check the part after @")
        case RepositoryNotFoundError():
            private = "" if hub.token else ", or it is private and needs a token (HF_TOKEN)"
            return ModelNotFound(f"{model}: the hub has no such repository{private}; check the name")
        case HfHubHTTPError():
            return _refused(error, model, hub)
        case HFValidationError():
            return InvalidEngineConfig(
                f"--model {model}: not a valid repository name; write hf://organisation/name"
            )
        case LocalEntryNotFoundError():
            # The client wraps what went wrong on the way, and has looked into its cache in vain.
            cause = error.__cause__
            known = _translate(cause, model, hub) if isinstance(cause, Exception) else None
            return known or _unreachable(model, hub, error)
        case HTTPError() | ConnectionError() | TimeoutError():
            return _unreachable(model, hub, error)
        case OSError() if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return ModelFetchFailed(
                f"{model}: the disk is full; give the model cache (HF_HOME) a larger volume"
            )
        case OSError() if error.errno in (errno.EACCES, errno.EROFS):
            return ModelFetchFailed(
                f"{model}: cannot write to {error.filename}; "
                "mount a writable volume as the model cache (HF_HOME)"
            )
    return None


def _refused(error: "HfHubHTTPError", model: HubModel, hub: HubAccess) -> EngineError:
    status = error.response.status_code
    if status in (401, 403):
        return _auth_failed(model, hub, f"the hub answered {status}")
    return ModelFetchFailed(f"{model}: the hub answered {status}; it will be tried again")


def _auth_failed(model: HubModel, hub: HubAccess, reason: str) -> ModelAuthFailed:
    remedy = (
        "check that the token is valid and its account has been granted access"
        if hub.token
        else "give a token of an account with access (HF_TOKEN)"
    )
    return ModelAuthFailed(f"{model}: {reason}; {remedy}")


def _unreachable(model: HubModel, hub: HubAccess, error: Exception) -> ModelFetchFailed:
    where = hub.endpoint or "the model hub"
    return ModelFetchFailed(
        f"{model}: cannot reach {where} ({type(error.__cause__ or error).__name__}); "
        "check the network, the proxy and HF_ENDPOINT"
    )
