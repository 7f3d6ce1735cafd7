"""The report for people: the verdict first, what to do about it next, and what it rests on below."""

from collections.abc import Iterator

from octavo_engine.check.report import Capacity, MemoryUse, ModelSummary, Report

Row = tuple[str, str]


def report_text(report: Report) -> str:
    rows = list(_rows(report))
    width = max(len(name) for name, _ in rows)
    lines = [f"{report.source} cannot be served" if report.errors else f"{report.source} {report.verdict}"]
    lines += [f"  {problem.severity}: {problem.message}" for problem in report.problems]
    lines += ["", *(f"  {name:<{width}}  {value}" for name, value in rows)]
    return "\n".join(lines) + "\n"


def _rows(report: Report) -> Iterator[Row]:
    machine = report.machine
    yield "machine", f"{machine.cpu}, {machine.num_cpus} CPUs, {machine.instruction_set}"
    if report.model is not None:
        yield from _model(report.model)
    if report.memory is not None:
        yield from _memory(report.memory)
    if report.capacity is not None:
        yield from _capacity(report.capacity)


def _model(model: ModelSummary) -> Iterator[Row]:
    yield "architecture", f"{model.architecture}, {_count(model.num_parameters)} parameters"
    attention = f"{model.num_heads} heads over {model.num_kv_heads} key-value heads of {model.head_dim}"
    yield "layers", f"{model.num_layers}, {model.hidden_size} wide; {attention}"
    where = "" if model.weights_here else ", to be downloaded"
    yield "checkpoint", f"{_gib(model.checkpoint_bytes)} in {model.checkpoint_dtype}{where}"
    yield "chat template", "yes" if model.has_chat_template else "no"


def _memory(memory: MemoryUse) -> Iterator[Row]:
    kind = "at most" if memory.is_limited else "available"
    yield "memory", f"{memory.device_name}: {_gib(memory.offered)} {kind}, of which {memory.percent}% is used"
    yield "weights", f"{_gib(memory.weights)} in {memory.dtype}"
    yield "positions", f"{_gib(memory.rope)} of rotary tables"
    yield "one step", f"{_gib(memory.step)}"
    yield "a token", f"{memory.kv_per_token / 1024:.4g} KiB of KV cache"


def _capacity(capacity: Capacity) -> Iterator[Row]:
    blocks = f"{capacity.num_blocks} blocks of {capacity.block_size} tokens"
    yield "KV cache", f"{_gib(capacity.kv_cache_bytes)}: {capacity.num_tokens} tokens, {blocks}"
    yield "context", f"{capacity.max_model_len} tokens"
    short = f"{capacity.num_1k_requests} requests of 1024 tokens"
    yield "at once", f"{capacity.num_full_requests} requests of full context, or {short}"


def _count(number: int) -> str:
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.4g}{unit}"
    return str(number)


def _gib(num_bytes: int) -> str:
    return f"{num_bytes / (1 << 30):.2f} GiB"
