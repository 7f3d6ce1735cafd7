from dataclasses import replace

from octavo_engine.bench.result import BatchResult, BenchResult, BurstResult, Environment, Latency
from octavo_engine.bench.table import comparison_text, result_text

BATCH = BatchResult(
    batch=8, prompt_tokens=128, output_tokens=64, first_token=Latency(p50=500.0, p99=900.0),
    between_tokens=Latency(p50=20.0, p99=30.0), prefill_rate=1000.0, decode_rate=400.0,
)  # fmt: skip
BURST = BurstResult(
    requests=64, prompt_tokens=8000, output_tokens=4000, seconds=10.0, output_rate=400.0,
    first_token=Latency(p50=1000.0, p99=2000.0), between_tokens=Latency(p50=50.0, p99=90.0),
)  # fmt: skip
ENVIRONMENT = Environment(
    model="tiny", dtype="float32", device="CPU", cpu="Abacus", num_threads=2, instruction_set="AVX2",
    version="0.1.0", commit="abc1234+", date="2026-01-01T00:00:00+00:00",
)  # fmt: skip
RESULT = BenchResult(environment=ENVIRONMENT, batches=(BATCH,), burst=BURST)


def test_the_table_names_the_machine_and_every_number() -> None:
    assert result_text(RESULT).splitlines() == [
        "octavo 0.1.0 (abc1234+): tiny in float32 on CPU",
        "Abacus, 2 threads, AVX2; 2026-01-01T00:00:00+00:00",
        "",
        "128 tokens in and 64 out a request, all of a batch at once",
        "batch  prefill tok/s  decode tok/s  first token ms  (p99)  between tokens ms  (p99)",
        "    8         1000.0         400.0           500.0  900.0               20.0   30.0",
        "",
        "burst of 64 requests, 8000 tokens in and 4000 out: 10.0 s, 400.0 output tok/s",
        "  first token 1000.0 ms (p99 2000.0), between tokens 50.0 ms (p99 90.0)",
    ]


def test_a_comparison_divides_new_by_old_for_batches_measured_alike() -> None:
    faster = replace(BATCH, decode_rate=600.0, between_tokens=Latency(p50=10.0, p99=30.0))
    other = replace(BATCH, batch=16)
    text = comparison_text(replace(RESULT, batches=(faster, other)), RESULT).splitlines()
    assert [line.split() for line in text[-2:]] == [
        ["8", "1.00x", "1.50x", "1.00x", "1.00x", "0.50x", "1.00x"],
        ["burst:", "1.00x", "output", "tok/s"],
    ]


def test_nothing_measured_alike_is_said() -> None:
    assert "no batch was measured alike in both" in comparison_text(RESULT, replace(RESULT, batches=()))
