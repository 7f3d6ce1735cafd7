"""The command line of `octavo serve`, from the fields of the InferenceService."""

from octavo_api.model_source import ClaimModel, FileModel, HubModel
from octavo_api.names import (
    DTYPE_FLAGS,
    ENGINE_PORT,
    GATEWAY_TOKEN_FLAG,
    GATEWAY_TOKEN_MOUNT,
    MODEL_MOUNT,
    TERMINATION_LOG,
    TOKEN_SECRET_KEY,
)
from octavo_api.spec import InferenceService


def engine_args(service: InferenceService, commit: str | None) -> list[str]:
    """The user's extraArgs come last, so that they win where a flag is given twice."""
    model, engine = service.model, service.engine
    flags: list[tuple[str, object]] = [
        ("--host", "0.0.0.0"),
        ("--port", ENGINE_PORT),
        ("--dtype", DTYPE_FLAGS[model.dtype]),
        ("--max-model-len", model.context_length),
        ("--block-size", engine.kv_cache.block_size),
        ("--memory-percent", engine.kv_cache.memory_percent),
        ("--max-num-seqs", engine.scheduling.max_running_requests),
        ("--max-num-batched-tokens", engine.scheduling.max_batched_tokens),
        ("--device", "cpu" if service.accelerator is None else "cuda"),
        ("--drain-propagation-seconds", service.drain.endpoint_propagation_seconds),
        ("--drain-timeout-seconds", service.drain.timeout_seconds),
        ("--termination-log", TERMINATION_LOG),
        (GATEWAY_TOKEN_FLAG, f"{GATEWAY_TOKEN_MOUNT}/{TOKEN_SECRET_KEY}"),
    ]
    args = ["serve", "--model", model_argument(service, commit), "--served-model-name", *service.served_names]
    for flag, value in flags:
        if value is not None:
            args += [flag, str(value)]
    return [*args, *engine.extra_args]


def model_argument(service: InferenceService, commit: str | None) -> str:
    match service.model.source:
        case HubModel(repo=repo):
            return f"hf://{repo}@{commit}"
        case ClaimModel(path=path) | FileModel(path=path):
            return f"{MODEL_MOUNT}/{path}" if path else MODEL_MOUNT
