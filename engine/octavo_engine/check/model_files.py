"""A model's files as far as a check needs them: all but the weights, and of those the headers."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from octavo_engine.errors import InvalidModel
from octavo_engine.models.safetensors_headers import (
    INDEX_FILE,
    SINGLE_FILE,
    Headers,
    TensorHeader,
    read_headers,
    stored_bytes,
    tensor_header,
    weight_files,
)
from octavo_engine.sources import (
    FILES_BESIDE_WEIGHTS,
    HubAccess,
    HubModel,
    hub_errors,
    parse_hub_model,
    resolve_source,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """`weights_here`: the weights themselves need no download any more."""

    folder: Path
    headers: Headers
    weights_here: bool

    def has_room_for_download(self) -> bool:
        return self.weights_here or shutil.disk_usage(self.folder).free > stored_bytes(self.headers)


def find_model_files(source: str, hub: HubAccess) -> ModelFiles:
    """Of a hub's repository downloads configuration and tokenizer, and asks for the heads of its weights."""
    folder = resolve_source(source, hub, FILES_BESIDE_WEIGHTS)
    files = weight_files(folder)
    missing = [name for name in files if not (folder / name).exists()]
    if not missing:
        return ModelFiles(folder=folder, headers=read_headers(folder, files), weights_here=True)
    if source.startswith("hf://"):
        headers = _fetch_headers(parse_hub_model(source), hub, folder.name, files)
        return ModelFiles(folder=folder, headers=headers, weights_here=False)
    if missing == [SINGLE_FILE]:
        raise InvalidModel(f"{folder} has neither {SINGLE_FILE} nor {INDEX_FILE}; only safetensors are read")
    raise InvalidModel(
        f"{folder} lacks {', '.join(missing)}, which {INDEX_FILE} names; fetch the model again"
    )


def _fetch_headers(model: HubModel, hub: HubAccess, commit: str, files: tuple[str, ...]) -> Headers:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import EntryNotFoundError, SafetensorsParsingError

    api = HfApi(endpoint=hub.endpoint, token=hub.token if hub.token else False)
    headers: dict[str, TensorHeader] = {}
    with hub_errors(model, hub):
        for name in files:
            try:
                found = api.parse_safetensors_file_metadata(model.repository, name, revision=commit)
            except EntryNotFoundError as error:
                raise InvalidModel(f"{model} has no {name}; only safetensors are read") from error
            except SafetensorsParsingError as error:
                raise InvalidModel(f"{model}: {name} is not a safetensors file: {error}") from error
            headers |= {
                tensor: tensor_header(name, info.dtype, info.shape, info.data_offsets)
                for tensor, info in found.tensors.items()
            }
    return headers
