"""Holds what a model needs against what a machine has; every number is computed as loading computes it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from octavo_engine.check.model_files import ModelFiles, find_model_files
from octavo_engine.check.place import Unknown
from octavo_engine.check.report import Capacity, MemoryUse, ModelSummary, Problem, Report
from octavo_engine.config import EngineConfig
from octavo_engine.errors import EngineError
from octavo_engine.machine import Machine
from octavo_engine.models.model_facts import ModelFacts, read_model_facts
from octavo_engine.models.safetensors_headers import check_tensors, stored_bytes
from octavo_engine.models.tensor_shapes import num_parameters, tensor_shapes
from octavo_engine.sources import HubAccess
from octavo_engine.worker.cache_size import MIB, CacheSize
from octavo_engine.worker.device_memory import DeviceMemory
from octavo_engine.worker.memory_budget import cache_size, check_weights_fit, step_bytes, with_engine

T = TypeVar("T")


class Findings:
    """Problems as they are found: one run tells of all that do not hide each other."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def attempt(self, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except EngineError as error:
            self.problems.append(Problem(severity="error", message=str(error), exit_code=error.exit_code))
            return None

    def warn(self, message: str) -> None:
        self.problems.append(Problem(severity="warning", message=message))


def check_model(
    source: str,
    config: EngineConfig,
    *,
    hub: HubAccess,
    machine: Machine,
    read_memory: Callable[[], DeviceMemory | Unknown],
) -> Report:
    """`read_memory` may raise the errors of `errors`, as where the wanted device is not there."""
    findings = Findings()
    report = Report(source=source, machine=machine)
    files = findings.attempt(lambda: find_model_files(source, hub))
    memory = findings.attempt(read_memory)
    if isinstance(memory, Unknown):
        report, memory = replace(report, not_checked=(memory.why,)), None
    if files is not None:
        report = _check_files(report, files, config, memory, findings)
    return replace(report, problems=tuple(findings.problems))


def _check_files(
    report: Report, files: ModelFiles, config: EngineConfig, memory: DeviceMemory | None, findings: Findings
) -> Report:
    has_chat_template = _check_text(files.folder, findings)
    facts = findings.attempt(lambda: read_model_facts(replace(config.model, path=files.folder)))
    if facts is None:
        return report
    findings.attempt(lambda: check_tensors(tensor_shapes(facts.spec), files.headers))
    if not files.has_room_for_download():
        findings.warn(
            f"{files.folder} has no room for {stored_bytes(files.headers) // MIB} MiB of weights: "
            "give the model cache (HF_HOME) a larger volume"
        )
    report = replace(report, model=_model_summary(facts, files, has_chat_template))
    return report if memory is None else _check_memory(report, facts, config, memory, findings)


def _check_text(folder: Path, findings: Findings) -> bool:
    """Whether there is a chat template."""
    from octavo_engine.server.chat_template import read_chat_template
    from octavo_engine.server.text_codec import read_text_codec

    findings.attempt(lambda: read_text_codec(folder))
    num_problems = len(findings.problems)
    if findings.attempt(lambda: read_chat_template(folder)) is not None:
        return True
    if len(findings.problems) == num_problems:
        findings.warn(
            "the model has no chat template: /v1/completions works, chat does not; "
            "add a chat_template.jinja, or choose the instruct variant"
        )
    return False


def _check_memory(
    report: Report, facts: ModelFacts, config: EngineConfig, memory: DeviceMemory, findings: Findings
) -> Report:
    use = MemoryUse(
        device=memory.device,
        device_name=memory.device_name,
        dtype=facts.dtype,
        offered=memory.offered,
        is_limited=memory.limit is not None,
        percent=config.cache.memory_percent,
        weights=facts.weights_bytes,
        rope=facts.rope_bytes,
        step=step_bytes(facts.spec, facts.itemsize, config.scheduler),
        kv_per_token=facts.kv_bytes_per_token,
    )
    report = replace(report, memory=use)
    size = findings.attempt(lambda: foretell_cache(facts, config, memory))
    if size is None:
        return report
    if size.max_model_len < facts.max_model_len:
        findings.warn(
            f"the context is lowered from {facts.max_model_len} to {size.max_model_len} tokens, for which "
            "the KV cache has room: give the engine more memory for all of it"
        )
    return replace(report, capacity=_capacity(size, facts, config))


def foretell_cache(facts: ModelFacts, config: EngineConfig, memory: DeviceMemory) -> CacheSize:
    """What loading will find; raises OutOfMemory as loading would."""
    check_weights_fit(facts, config.cache, memory)
    return cache_size(facts, config, with_engine(memory, facts))


def _capacity(size: CacheSize, facts: ModelFacts, config: EngineConfig) -> Capacity:
    block_size = config.cache.block_size

    def num_requests(num_tokens: int) -> int:
        blocks_a_request = -(-min(num_tokens, size.max_model_len) // block_size)
        return min(size.num_blocks // blocks_a_request, config.scheduler.max_num_seqs)

    return Capacity(
        block_size=block_size,
        num_blocks=size.num_blocks,
        kv_cache_bytes=size.num_blocks * block_size * facts.kv_bytes_per_token,
        num_tokens=size.num_blocks * block_size,
        max_model_len=size.max_model_len,
        num_full_requests=num_requests(size.max_model_len),
        num_1k_requests=num_requests(1024),
    )


def _model_summary(facts: ModelFacts, files: ModelFiles, has_chat_template: bool) -> ModelSummary:
    spec = facts.spec
    return ModelSummary(
        architecture=facts.architecture,
        num_parameters=num_parameters(spec),
        num_layers=spec.num_layers,
        hidden_size=spec.hidden_size,
        num_heads=spec.num_heads,
        num_kv_heads=spec.num_kv_heads,
        head_dim=spec.head_dim,
        vocab_size=spec.vocab_size,
        max_position_embeddings=spec.max_position_embeddings,
        checkpoint_dtype=facts.checkpoint_dtype,
        checkpoint_bytes=stored_bytes(files.headers),
        has_chat_template=has_chat_template,
        weights_here=files.weights_here,
    )
