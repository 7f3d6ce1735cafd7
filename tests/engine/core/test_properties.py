"""Whatever comes, in whatever order: every request ends, with the tokens that it has alone.

The fake executor checks what no message shows: it reads each context back through the block tables, and
refuses writes into blocks that are shared or indexed. Small pools make preemptions, few distinct tokens make
prefix hits and promises.
"""

from dataclasses import dataclass

from core_harness import check_blocks, executor_of, make_core, request, run_to_end, tokens_of
from fake_executor import generate_alone
from hypothesis import event, given, settings
from hypothesis import strategies as st

from octavo_engine.core.engine_core import EngineCore
from octavo_engine.messages import AddRequest, TokensReady


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """A request, the steps after which the next comes, and whether it is aborted then.

    `num_known` of its tokens, but never all, another engine has generated before.
    """

    prompt: tuple[int, ...]
    max_tokens: int
    priority: int
    salt: str
    is_penalised: bool
    stop: int | None
    num_known: int
    steps_after: int
    is_aborted: bool

    def message(self, request_id: str) -> AddRequest:
        return request(
            request_id,
            self.prompt,
            self.max_tokens,
            priority=self.priority,
            cache_salt=self.salt,
            presence_penalty=float(self.is_penalised),
            stop_token_ids=self.stop_tokens,
            generated=self.known,
        )

    @property
    def known(self) -> tuple[int, ...]:
        return tuple(self.answer()[: min(self.num_known, self.max_tokens - 1)])

    @property
    def stop_tokens(self) -> tuple[int, ...]:
        """A token that it will say, so that it ends early."""
        return () if self.stop is None else (generate_alone(self.prompt, self.stop + 1)[-1],)

    def expected(self) -> list[int]:
        return self.answer()[len(self.known) :]

    def answer(self) -> list[int]:
        tokens = generate_alone(self.prompt, self.max_tokens)
        ends = [place for place, token in enumerate(tokens) if token in self.stop_tokens]
        return tokens[: ends[0]] if ends else tokens


STEMS = tuple(tuple(range(start, start + 12)) for start in (0, 30, 60))
prompts = st.tuples(
    st.sampled_from(STEMS), st.integers(0, 12), st.lists(st.integers(0, 2), min_size=1, max_size=4)
).map(lambda parts: (*parts[0][: parts[1]], *parts[2]))
arrivals = st.builds(
    Arrival,
    prompt=prompts,
    max_tokens=st.integers(1, 24),
    priority=st.integers(-1, 1),
    salt=st.sampled_from(["", "", "tenant"]),
    is_penalised=st.booleans(),
    stop=st.none() | st.none() | st.integers(0, 23),
    num_known=st.sampled_from([0, 0, 0, 1, 5, 20]),
    steps_after=st.sampled_from([0, 0, 0, 1, 2, 3]),
    is_aborted=st.sampled_from([False] * 7 + [True]),
)
Answers = dict[str, list[TokensReady]]


def play(core: EngineCore, script: list[Arrival]) -> Answers:
    """All messages of each request, an abort's included."""
    answers: Answers = {str(index): [] for index in range(len(script))}
    for index, arrival in enumerate(script):
        assert core.add(arrival.message(str(index))) is None
        for _ in range(arrival.steps_after):
            for message in core.step():
                answers[message.request_id].append(message)
            check_blocks(core)
        if arrival.is_aborted:
            ended = core.abort(str(index))
            answers[str(index)] += [ended] if ended else []
            check_blocks(core)
    for request_id, rest in run_to_end(core, max_steps=2000).items():
        answers[request_id] += rest
    return answers


@settings(max_examples=200, deadline=None)
@given(
    script=st.lists(arrivals, min_size=1, max_size=12),
    num_blocks=st.integers(10, 20),
    max_num_seqs=st.integers(1, 8),
    max_num_batched_tokens=st.integers(8, 40),
    max_num_prefill_tokens=st.integers(1, 40),
    depth=st.integers(1, 3),
    failing_steps=st.sets(st.integers(0, 20).map(lambda number: 2 * number), max_size=3),
)
def test_every_request_ends_with_the_tokens_it_has_alone(
    script: list[Arrival],
    num_blocks: int,
    max_num_seqs: int,
    max_num_batched_tokens: int,
    max_num_prefill_tokens: int,
    depth: int,
    failing_steps: set[int],
) -> None:
    core = make_core(
        num_blocks=num_blocks,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        max_num_prefill_tokens=max_num_prefill_tokens,
        depth=depth,
    )
    batches = executor_of(core).batches
    executor_of(core).fails = lambda batch: len(batches) in failing_steps
    answers = play(core, script)
    for index, arrival in enumerate(script):
        messages, expected = answers[str(index)], arrival.expected()
        tokens, reasons = tokens_of(messages), [m.finish_reason for m in messages]
        assert set(reasons[:-1]) <= {None}
        assert reasons[-1] in ("stop", "length", *(["abort"] if arrival.is_aborted else []), "error")
        assert tokens == expected[: len(tokens)]
        if reasons[-1] in ("stop", "length"):
            assert tokens == expected
        elif reasons[-1] == "error":
            assert failing_steps
    stats = core.stats()
    assert (stats.num_running, stats.num_waiting, stats.num_used_blocks) == (0, 0, 0)
    event(f"preemptions: {min(stats.num_preemptions, 3)}")
    event(f"prefix hits: {stats.prefix_cache_hits > 0}")


@settings(max_examples=30, deadline=None)
@given(
    prompt=prompts,
    priority=st.integers(0, 1),
    depth=st.integers(1, 2),
    num_blocks=st.integers(10, 16),
    others=st.lists(prompts, min_size=1, max_size=5),
)
def test_a_steady_stream_of_equals_starves_nobody(
    prompt: tuple[int, ...], priority: int, depth: int, num_blocks: int, others: list[tuple[int, ...]]
) -> None:
    """Before and after it come others without end, as important as it; many share its beginning."""
    core = make_core(num_blocks=num_blocks, max_num_seqs=4, max_num_batched_tokens=12, depth=depth)
    is_done = False
    for number in range(400):
        for other in range(2):
            filler = others[(number + other) % len(others)]
            core.add(request(f"{number}-{other}", filler, max_tokens=6, priority=priority))
        if number == 5:
            core.add(request("watched", prompt, max_tokens=6, priority=priority))
        is_done |= any(m.request_id == "watched" and m.finish_reason for m in core.step())
        check_blocks(core)
        if is_done:
            return
    raise AssertionError("400 steps were not enough")
