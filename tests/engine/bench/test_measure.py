from octavo_engine.bench.measure import Trace, latency
from octavo_engine.bench.result import Latency


def test_gaps_are_between_tokens_and_begin_where_decoding_does() -> None:
    trace = Trace([1.0, 1.5, 3.0, 3.25])
    assert trace.gaps() == [0.5, 1.5, 0.25]
    assert trace.gaps(after=1.5) == [1.5, 0.25]


def test_percentiles_are_values_that_occurred() -> None:
    assert latency([0.003, 0.001, 0.002]) == Latency(p50=2.0, p99=3.0)
    assert latency([0.001] * 99 + [0.5]) == Latency(p50=1.0, p99=1.0)
    assert latency([0.25]) == Latency(p50=250.0, p99=250.0)
