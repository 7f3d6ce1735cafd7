import pytest
from core_harness import check_blocks, make_core, request, run_to_end, tokens_of
from fake_executor import FakeExecutor, generate_alone
from hypothesis import given, settings
from hypothesis import strategies as st

from octavo_engine.core.engine_core import EngineCore
from octavo_engine.messages import TokensReady


def executor_of(core: EngineCore) -> FakeExecutor:
    assert isinstance(core.executor, FakeExecutor)
    return core.executor


def test_a_request_gets_its_tokens_one_message_each_and_ends_with_length() -> None:
    core = make_core()
    assert core.add(request("a", (1, 2, 3), max_tokens=3)) is None
    expected = generate_alone((1, 2, 3), 3)
    assert run_to_end(core)["a"] == [
        TokensReady(request_id="a", token_ids=(expected[0],), num_generated_tokens=1),
        TokensReady(request_id="a", token_ids=(expected[1],), num_generated_tokens=2),
        TokensReady(request_id="a", token_ids=(expected[2],), num_generated_tokens=3, finish_reason="length"),
    ]


def test_prefill_chunks_and_decodes_share_a_step() -> None:
    core = make_core(max_num_batched_tokens=8, max_num_seqs=4)
    core.add(request("a", (1, 2), max_tokens=6))
    core.step()
    core.add(request("b", tuple(range(20)), max_tokens=1))
    run_to_end(core)
    shapes = [
        [(row.request_id, len(row.token_ids), row.samples) for row in batch.rows]
        for batch in executor_of(core).batches
    ]
    assert shapes[:4] == [
        [("a", 2, True)],
        [("a", 1, True), ("b", 7, False)],
        [("a", 1, True), ("b", 7, False)],
        [("a", 1, True), ("b", 6, True)],
    ]


def test_blocks_are_taken_only_as_tokens_need_them() -> None:
    core = make_core(block_size=4)
    core.add(request("a", (1, 2, 3), max_tokens=8))
    used = []
    while core.has_work():
        core.step()
        used.append(core.stats().num_used_blocks)
    assert used == [1, 1, 2, 2, 2, 2, 3, 0]  # the eighth token is never an input


def test_a_stop_token_ends_the_request_and_is_counted_but_not_shown() -> None:
    stop = generate_alone((5, 6), 3)[2]
    core = make_core(eos_token_ids=(stop,))
    core.add(request("a", (5, 6), max_tokens=10))
    last = run_to_end(core)["a"][-1]
    assert last == TokensReady(request_id="a", token_ids=(), num_generated_tokens=3, finish_reason="stop")


def test_ignore_eos_goes_on_but_own_stop_tokens_still_end() -> None:
    tokens = generate_alone((5, 6), 5)
    core = make_core(eos_token_ids=(tokens[1],))
    core.add(request("a", (5, 6), 10, ignore_eos=True, stop_token_ids=(tokens[4],)))
    messages = run_to_end(core)["a"]
    assert (tokens_of(messages), messages[-1].finish_reason) == (tokens[:4], "stop")


def test_rows_below_min_tokens_may_not_stop() -> None:
    core = make_core()
    core.add(request("a", (1,), max_tokens=4, min_tokens=2))
    run_to_end(core)
    assert [batch.rows[0].may_stop for batch in executor_of(core).batches] == [False, False, True, True]


@pytest.mark.parametrize(
    ("prompt", "max_tokens", "problem"),
    [
        ((), 1, "the prompt has no tokens"),
        (tuple([1] * 16), 1, "leaves no room"),
        ((1,), 0, "max_tokens is 0"),
        ((1, 97), 1, "outside the vocabulary of 97"),
        ((-1,), 1, "outside the vocabulary of 97"),
    ],
)
def test_a_request_that_cannot_be_served_ends_alone(
    prompt: tuple[int, ...], max_tokens: int, problem: str
) -> None:
    core = make_core(max_model_len=16)
    core.add(request("good", (1, 2), max_tokens=2))
    refusal = core.add(request("bad", prompt, max_tokens))
    assert refusal is not None
    assert refusal.finish_reason == "error"
    assert problem in (refusal.error or "")
    assert tokens_of(run_to_end(core)["good"]) == generate_alone((1, 2), 2)


def test_the_context_ends_a_request_that_asks_for_more() -> None:
    core = make_core(max_model_len=8)
    core.add(request("a", (1, 2, 3), max_tokens=100))
    messages = run_to_end(core)["a"]
    assert tokens_of(messages) == generate_alone((1, 2, 3), 5)
    assert messages[-1].finish_reason == "length"


def test_abort_frees_the_blocks_of_running_and_waiting_requests() -> None:
    core = make_core(max_num_seqs=1)
    core.add(request("running", (1, 2, 3)))
    core.add(request("waiting", (1, 2, 3)))
    core.step()
    for request_id in ("running", "waiting"):
        ended = core.abort(request_id)
        assert ended is not None
        assert ended.finish_reason == "abort"
    assert core.abort("running") is None
    assert not core.has_work()
    check_blocks(core)


def test_a_preempted_request_keeps_its_tokens_and_costs_nobody_else() -> None:
    core = make_core(num_blocks=6, block_size=4, max_num_batched_tokens=16)
    prompts = {"a": (1, 2, 3), "b": (4, 5, 6)}
    for request_id, prompt in prompts.items():
        core.add(request(request_id, prompt, max_tokens=16))
    messages = run_to_end(core)
    assert core.stats().num_preemptions > 0
    assert core.stats().prefix_cache_queries == 6  # a second admission is no second query
    assert {key: tokens_of(messages[key]) for key in prompts} == {
        key: generate_alone(prompt, 16) for key, prompt in prompts.items()
    }


def test_the_first_come_is_never_the_victim() -> None:
    core = make_core(num_blocks=6, block_size=4, max_num_batched_tokens=16)
    first = request("first", (1, 2, 3), max_tokens=16)
    core.add(first)
    core.add(request("second", (4, 5, 6), max_tokens=16))
    kept = core.scheduler.requests["first"]
    run_to_end(core)
    assert kept.num_preemptions == 0


def test_preempted_requests_come_back_before_those_that_came_later() -> None:
    core = make_core(num_blocks=6, block_size=4, max_num_batched_tokens=16, max_num_seqs=2)
    for request_id, prompt in {"a": (1, 2, 3), "b": (4, 5, 6), "c": (7, 8, 9)}.items():
        core.add(request(request_id, prompt, max_tokens=16))
    messages = run_to_end(core)
    assert core.stats().num_preemptions > 0
    assert list(messages) == ["a", "b", "c"]
    order = [row.request_id for batch in executor_of(core).batches for row in batch.rows if row.start]
    assert order[:4] == ["a", "b", "b", "c"]


def test_a_prompt_is_let_in_only_when_all_of_it_fits_beside_the_others() -> None:
    core = make_core(num_blocks=8, block_size=4, max_num_batched_tokens=24)
    core.add(request("a", tuple(range(40, 60)), max_tokens=1))
    core.add(request("b", tuple(range(20)), max_tokens=1))
    run_to_end(core)
    shapes = [[(row.request_id, len(row.token_ids)) for row in b.rows] for b in executor_of(core).batches]
    assert shapes == [[("a", 20)], [("b", 20)]]
    assert core.stats().num_preemptions == 0


def test_nobody_is_let_in_on_a_block_that_a_running_request_needs_soon() -> None:
    core = make_core(num_blocks=2, block_size=4)
    core.add(request("a", (1, 2, 3), max_tokens=5))
    core.add(request("b", (4, 5), max_tokens=4))
    run_to_end(core)
    assert core.stats().num_preemptions == 0


def test_a_repeated_prompt_is_read_from_the_cache() -> None:
    core = make_core(block_size=4, max_num_batched_tokens=64)
    prompt = tuple(range(13))
    core.add(request("a", prompt))
    run_to_end(core)
    core.add(request("b", prompt))
    messages = run_to_end(core)["b"]
    assert [message.num_cached_tokens for message in messages] == [12] * 4
    assert tokens_of(messages) == generate_alone(prompt, 4)
    assert (core.stats().prefix_cache_queries, core.stats().prefix_cache_hits) == (26, 12)


def test_one_token_of_a_fully_cached_prompt_is_still_computed() -> None:
    core = make_core(block_size=4, max_num_batched_tokens=64)
    prompt = tuple(range(8))
    core.add(request("a", prompt))
    run_to_end(core)
    core.add(request("b", prompt))
    assert run_to_end(core)["b"][0].num_cached_tokens == 4


def test_a_failed_step_ends_its_own_requests_and_the_rest_go_on() -> None:
    core = make_core(fails=lambda batch: any(row.request_id == "bad" for row in batch.rows))
    core.add(request("bad", (1, 2, 3)))
    failed = run_to_end(core)["bad"]
    core.add(request("good", (1, 2, 3)))
    good = run_to_end(core)["good"]
    assert [message.finish_reason for message in failed] == ["error"]
    assert tokens_of(good) == generate_alone((1, 2, 3), 4)
    assert good[0].num_cached_tokens == 0  # what a failed step wrote is not trusted


def test_a_device_that_always_fails_is_not_hidden() -> None:
    core = make_core(fails=lambda batch: True)
    for index in range(3):
        core.add(request(str(index), (1,)))
        if index < 2:
            run_to_end(core)
    with pytest.raises(RuntimeError, match="caught fire"):
        core.step()


def test_failures_with_successes_between_do_not_add_up() -> None:
    core = make_core(fails=lambda batch: batch.rows[0].request_id.startswith("bad"))
    for request_id in ("bad1", "bad2", "good1", "bad3", "bad4", "good2"):
        core.add(request(request_id, (1,)))
        messages = run_to_end(core)
        expected = "error" if request_id.startswith("bad") else "length"
        assert messages[request_id][-1].finish_reason == expected


def test_with_two_steps_in_flight_the_next_is_scheduled_before_the_token_is_known() -> None:
    core = make_core(depth=2)
    core.add(request("a", (1, 2), max_tokens=3))
    assert core.step() == []
    assert len(core.step()) == 1
    assert [batch.rows[0].token_ids for batch in executor_of(core).batches] == [(1, 2), (-1,)]
    rest = run_to_end(core)["a"]
    assert tokens_of(rest) == generate_alone((1, 2), 3)[1:]
    assert len(executor_of(core).batches) == 3  # no step beyond the last token


def test_a_step_in_flight_for_an_ended_request_is_ignored() -> None:
    stop = generate_alone((5, 6), 2)[1]
    core = make_core(depth=2, eos_token_ids=(stop,))
    core.add(request("a", (5, 6), max_tokens=50))
    messages = run_to_end(core)["a"]
    assert messages[-1].finish_reason == "stop"
    assert len(messages) == 2


Case = tuple[tuple[int, ...], int]
cases = st.lists(
    st.tuples(st.lists(st.integers(0, 3), min_size=1, max_size=20).map(tuple), st.integers(1, 12)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(
    cases=cases,
    num_blocks=st.integers(8, 24),
    max_num_seqs=st.integers(1, 4),
    max_num_batched_tokens=st.integers(4, 24),
    depth=st.integers(1, 3),
    steps_between=st.lists(st.integers(0, 3), min_size=8, max_size=8),
    aborted=st.sets(st.integers(0, 7), max_size=2),
)
def test_whatever_comes_every_request_ends_with_the_tokens_it_has_alone(
    cases: list[Case],
    num_blocks: int,
    max_num_seqs: int,
    max_num_batched_tokens: int,
    depth: int,
    steps_between: list[int],
    aborted: set[int],
) -> None:
    """Small pools make preemptions, few distinct tokens prefix hits; the fake worker checks every write."""
    core = make_core(
        num_blocks=num_blocks,
        block_size=4,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        depth=depth,
    )
    messages: dict[str, list[TokensReady]] = {str(index): [] for index in range(len(cases))}
    for index, (prompt, max_tokens) in enumerate(cases):
        core.add(request(str(index), prompt, max_tokens))
        for _ in range(steps_between[index]):
            for message in core.step():
                messages[message.request_id].append(message)
            check_blocks(core)
        if index in aborted:
            core.abort(str(index))
            check_blocks(core)
    for request_id, rest in run_to_end(core).items():
        messages[request_id] += rest
    for index, (prompt, max_tokens) in enumerate(cases):
        if index not in aborted:
            assert tokens_of(messages[str(index)]) == generate_alone(prompt, max_tokens)
            assert [m.finish_reason for m in messages[str(index)]][-1] == "length"
    stats = core.stats()
    assert (stats.num_running, stats.num_waiting, stats.num_used_blocks) == (0, 0, 0)
