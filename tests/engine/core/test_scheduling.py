"""Who goes first, who has to wait, and who has to go."""

import pytest
from core_harness import executor_of, make_core, request, run_to_end, tokens_of
from fake_executor import generate_alone, rows_of

from octavo_engine.core.engine_core import EngineCore

TIGHT = {"num_blocks": 6, "block_size": 4, "max_num_batched_tokens": 16}


def order_of_first_tokens(core: EngineCore) -> list[str]:
    return list(run_to_end(core))


def shapes(core: EngineCore) -> list[list[int]]:
    return [[len(row.token_ids) for row in rows_of(batch)] for batch in executor_of(core).batches]


def test_the_lower_priority_number_goes_first_then_the_earlier_arrival() -> None:
    core = make_core(max_num_seqs=1)
    for name, priority in {"late": 1, "middle": 0, "after": 0, "first": -1}.items():
        core.add(request(name, (1, 2), priority=priority))
    assert order_of_first_tokens(core) == ["first", "middle", "after", "late"]


def test_prompt_tokens_go_to_the_more_important_first() -> None:
    core = make_core(max_num_batched_tokens=8)
    core.add(request("background", tuple(range(40)), max_tokens=1, priority=5))
    core.step()
    core.add(request("urgent", tuple(range(50, 62)), max_tokens=1, priority=0))
    core.add(request("patient", tuple(range(70, 80)), max_tokens=1, priority=5))
    core.step()
    assert [r.request_id for r in core.scheduler.slots.running] == ["urgent", "background"]
    core.step()
    core.step()
    assert [batch.input_id_T.tolist() for batch in executor_of(core).batches] == [
        [*range(8)],
        [*range(50, 58)],
        [*range(58, 62), *range(8, 12)],
        [*range(12, 20)],
    ]


def test_decoding_rows_come_before_a_prompt_that_arrived_earlier() -> None:
    core = make_core(max_num_batched_tokens=8)
    core.add(request("long", tuple(range(30)), max_tokens=1))
    core.add(request("short", (60,), max_tokens=9))
    run_to_end(core)
    assert shapes(core) == [[8], [8], [8], [1, 6], *[[1]] * 8]


def test_while_somebody_decodes_a_step_takes_fewer_prompt_tokens() -> None:
    core = make_core(max_num_batched_tokens=16, max_num_prefill_tokens=4)
    core.add(request("a", tuple(range(20)), max_tokens=6))
    core.step()
    core.step()
    core.add(request("b", tuple(range(50, 62)), max_tokens=1))
    run_to_end(core)
    assert shapes(core) == [[16], [4], [1, 4], [1, 4], [1, 4], [1], [1]]


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_preempted_request_keeps_its_tokens_and_costs_nobody_else(depth: int) -> None:
    core = make_core(**TIGHT, depth=depth)
    prompts = {"a": (1, 2, 3), "b": (4, 5, 6)}
    for request_id, prompt in prompts.items():
        core.add(request(request_id, prompt, max_tokens=16))
    messages = run_to_end(core)
    assert core.stats().num_preemptions > 0
    assert core.stats().prefix_cache_queries == 6  # a second admission is no second query
    assert {key: tokens_of(messages[key]) for key in prompts} == {
        key: generate_alone(prompt, 16) for key, prompt in prompts.items()
    }


def test_the_most_important_is_never_the_victim() -> None:
    core = make_core(**TIGHT)
    core.add(request("first", (1, 2, 3), max_tokens=16))
    core.add(request("second", (4, 5, 6), max_tokens=16))
    kept, other = (core.scheduler.requests[name] for name in ("first", "second"))
    run_to_end(core)
    assert (kept.num_preemptions, other.num_preemptions > 0) == (0, True)


def test_the_less_important_goes_even_when_it_came_first() -> None:
    core = make_core(**TIGHT)
    core.add(request("background", (1, 2, 3), max_tokens=16, priority=1))
    core.step()
    core.add(request("urgent", (4, 5, 6), max_tokens=16, priority=0))
    victim, kept = (core.scheduler.requests[name] for name in ("background", "urgent"))
    messages = run_to_end(core)
    assert (kept.num_preemptions, victim.num_preemptions > 0) == (0, True)
    assert tokens_of(messages["background"]) == generate_alone((1, 2, 3), 16)[1:]


def test_a_prompt_is_let_in_only_when_all_of_it_fits_beside_the_others() -> None:
    core = make_core(num_blocks=8, block_size=4, max_num_batched_tokens=24)
    core.add(request("a", tuple(range(40, 60)), max_tokens=1))
    core.add(request("b", tuple(range(20)), max_tokens=1))
    run_to_end(core)
    assert shapes(core) == [[20], [20]]
    assert core.stats().num_preemptions == 0


def test_nobody_is_let_in_on_a_block_that_a_running_request_needs_soon() -> None:
    core = make_core(num_blocks=2, block_size=4)
    core.add(request("a", (1, 2, 3), max_tokens=5))
    core.add(request("b", (4, 5), max_tokens=4))
    run_to_end(core)
    assert core.stats().num_preemptions == 0


def test_a_long_prompt_is_not_passed_by_short_ones_that_would_fit() -> None:
    core = make_core(num_blocks=8, block_size=4, max_num_batched_tokens=32)
    core.add(request("runs", (1, 2, 3, 4, 5), max_tokens=8))
    core.step()
    core.add(request("long", tuple(range(24)), max_tokens=2))
    for index in range(3):
        core.add(request(f"short{index}", (50 + index,), max_tokens=1))
    waiting = core.scheduler.admission.waiting
    while waiting and waiting[0].request_id == "long":
        assert len(waiting) == 4
        core.step()
    assert "long" in {r.request_id for r in core.scheduler.slots.running}


def test_after_a_preemption_joining_takes_more_room_until_requests_end() -> None:
    core = make_core(**TIGHT)
    admission = core.scheduler.admission
    core.add(request("a", (1, 2, 3), max_tokens=16))
    core.add(request("b", (4, 5, 6), max_tokens=16))
    while core.stats().num_preemptions == 0:
        core.step()
    assert admission.num_blocks_ahead == 2
    assert core.stats().num_running == 1
    run_to_end(core)
    assert admission.num_blocks_ahead == 1


def test_a_hundred_requests_that_do_not_fit_together_are_seldom_computed_twice() -> None:
    core = make_core(num_blocks=64, block_size=4, max_num_batched_tokens=64, max_num_seqs=64)
    prompts = {str(i): (i % 90, i // 90, 7) for i in range(100)}
    for name, prompt in prompts.items():
        core.add(request(name, prompt, max_tokens=30))
    messages = run_to_end(core)
    assert all(tokens_of(messages[name]) == generate_alone(prompt, 30) for name, prompt in prompts.items())
    num_computed = sum(batch.num_tokens for batch in executor_of(core).batches)
    assert num_computed < 1.3 * 100 * 32


def test_with_a_penalty_each_token_waits_for_the_one_before() -> None:
    core = make_core(depth=2)
    core.add(request("counts", (1, 2), max_tokens=4, presence_penalty=1.0))
    core.add(request("free", (3, 4), max_tokens=4))
    messages = run_to_end(core)
    assert tokens_of(messages["counts"]) == generate_alone((1, 2), 4)
    assert tokens_of(messages["free"]) == generate_alone((3, 4), 4)
    assert shapes(core)[:4] == [[2, 2], [1], [1, 1], [1]]
