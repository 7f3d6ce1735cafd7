"""One question to the hub with the real client, its errors turned into reasons."""

from huggingface_hub import HfApi
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from octavo_api.model_source import HubModel
from octavo_api.names import Reason
from octavo_operator.observed import Resolution, Resolved, Unresolved

TIMEOUT_SECONDS = 10.0


def ask_hub(endpoint: str | None, model: HubModel, token: str | None) -> Resolution:
    """Blocks for up to TIMEOUT_SECONDS. Raises what speaks of the network rather than of the model."""
    # token=False: never a token that happens to lie around where the operator runs.
    api = HfApi(endpoint=endpoint, token=token or False)
    uri = f"hf://{model.repo}" + (f"@{model.revision}" if model.revision else "")
    try:
        commit = api.model_info(model.repo, revision=model.revision, timeout=TIMEOUT_SECONDS).sha
    except GatedRepoError:
        return _refused(uri, token)
    except RevisionNotFoundError:
        return Unresolved(
            Reason.MODEL_NOT_FOUND, f"{uri}: no such revision; correct spec.model.revision", terminal=True
        )
    except RepositoryNotFoundError:
        return _not_found(uri, token)
    except HFValidationError:
        return _not_found(uri, token)
    except HfHubHTTPError as error:
        if error.response is not None and error.response.status_code in (401, 403):
            return _refused(uri, token)
        raise
    if commit is None:
        return _not_found(uri, token)
    return Resolved(commit)


def _not_found(uri: str, token: str | None) -> Unresolved:
    # The hub does not tell the absent from the private.
    private = (
        "the token of spec.model.secretRef does not see it"
        if token
        else "it is private and spec.model.secretRef is missing"
    )
    return Unresolved(
        Reason.MODEL_NOT_FOUND,
        f"{uri}: no such repository, or {private}; correct spec.model.uri or spec.model.secretRef",
        terminal=True,
    )


def _refused(uri: str, token: str | None) -> Unresolved:
    remedy = "give the token of spec.model.secretRef access" if token else "set spec.model.secretRef"
    message = f"{uri}: the hub refuses access; {remedy} (gated models also need their licence accepted)"
    return Unresolved(Reason.MODEL_AUTH_FAILED, message, terminal=True)
