"""A result as text, beside a former one where there is one."""

from collections.abc import Callable

from octavo_engine.bench.result import BatchResult, BenchResult, BurstResult, Environment, Latency

HEADER = ("batch", "prefill tok/s", "decode tok/s", "first token ms", "(p99)", "between tokens ms", "(p99)")


def result_text(result: BenchResult) -> str:
    rows = [HEADER, *(_row(batch) for batch in result.batches)]
    lines = [*environment_lines(result.environment), "", _lengths(result.batches[0]), *_aligned(rows), ""]
    return "\n".join([*lines, *burst_lines(result.burst)]) + "\n"


def environment_lines(environment: Environment) -> list[str]:
    run, commit = environment, f" ({environment.commit})" if environment.commit else ""
    return [
        f"octavo {run.version}{commit}: {run.model} in {run.dtype} on {run.device}",
        f"{run.cpu}, {run.num_threads} threads, {run.instruction_set}; {run.date}",
    ]


def burst_lines(burst: BurstResult) -> list[str]:
    return [
        f"burst of {burst.requests} requests, {burst.prompt_tokens} tokens in and {burst.output_tokens} out: "
        f"{burst.seconds:.1f} s, {burst.output_rate:.1f} output tok/s",
        f"  first token {_latency(burst.first_token)}, between tokens {_latency(burst.between_tokens)}",
    ]


def comparison_text(new: BenchResult, old: BenchResult) -> str:
    """Each number of the new result by that of the old one; above 1 is more, for latencies that is worse."""
    former = {(batch.batch, batch.prompt_tokens, batch.output_tokens): batch for batch in old.batches}
    pairs = [
        (batch, former[key])
        for batch in new.batches
        if (key := (batch.batch, batch.prompt_tokens, batch.output_tokens)) in former
    ]
    rows = [HEADER, *(_ratios(*pair) for pair in pairs)]
    lines = [
        "new by old; for latencies less is better. The old one:",
        *environment_lines(old.environment),
        "",
    ]
    lines += _aligned(rows) if pairs else ["no batch was measured alike in both"]
    lines.append(f"burst: {_ratio(new.burst.output_rate, old.burst.output_rate)} output tok/s")
    return "\n".join(lines) + "\n"


NUMBERS: tuple[Callable[[BatchResult], float], ...] = (
    lambda batch: batch.prefill_rate,
    lambda batch: batch.decode_rate,
    lambda batch: batch.first_token.p50,
    lambda batch: batch.first_token.p99,
    lambda batch: batch.between_tokens.p50,
    lambda batch: batch.between_tokens.p99,
)


def _row(batch: BatchResult) -> tuple[str, ...]:
    return (str(batch.batch), *(f"{number(batch):.1f}" for number in NUMBERS))


def _ratios(new: BatchResult, old: BatchResult) -> tuple[str, ...]:
    return (str(new.batch), *(_ratio(number(new), number(old)) for number in NUMBERS))


def _ratio(new: float, old: float) -> str:
    return f"{new / old:.2f}x"


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]


def _lengths(batch: BatchResult) -> str:
    return f"{batch.prompt_tokens} tokens in and {batch.output_tokens} out a request, all of a batch at once"


def _latency(latency: Latency) -> str:
    return f"{latency.p50:.1f} ms (p99 {latency.p99:.1f})"
