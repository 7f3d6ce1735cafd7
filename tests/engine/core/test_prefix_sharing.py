"""Requests with a common beginning compute it once, even when they come at the same time."""

import pytest
from core_harness import check_blocks, executor_of, make_core, request, run_to_end, table_of, tokens_of
from fake_executor import generate_alone

from octavo_engine.core.engine_core import EngineCore

SYSTEM = tuple(range(20, 36))  # four blocks


def num_computed(core: EngineCore) -> int:
    return sum(batch.num_tokens for batch in executor_of(core).batches)


@pytest.mark.parametrize("depth", [1, 2])
def test_a_common_prompt_that_comes_at_once_is_computed_once(depth: int) -> None:
    core = make_core(depth=depth, max_num_batched_tokens=64)
    for index in range(6):
        core.add(request(str(index), (*SYSTEM, index), max_tokens=1))
    messages = run_to_end(core)
    for index in range(6):
        assert tokens_of(messages[str(index)]) == generate_alone((*SYSTEM, index), 1)
    assert num_computed(core) == len(SYSTEM) + 6
    assert core.stats().prefix_cache_hits == 5 * len(SYSTEM)


def test_choices_of_one_prompt_hold_its_full_blocks_together() -> None:
    core = make_core(max_num_batched_tokens=64)
    for index in range(4):
        core.add(request(str(index), (*SYSTEM, 1, 2), max_tokens=8, seed=index))
    for _ in range(3):
        core.step()
    tables = [table_of(core, running) for running in core.scheduler.slots.running]
    assert len(tables) == 4
    assert len({tuple(table[:4]) for table in tables}) == 1
    assert core.stats().num_used_blocks == 4 + 4
    check_blocks(core)


def test_who_waits_for_a_block_is_passed_by_those_who_do_not() -> None:
    core = make_core(max_num_batched_tokens=8)
    core.add(request("owner", SYSTEM, max_tokens=2))
    core.add(request("waits", (*SYSTEM, 1), max_tokens=2))
    core.add(request("passes", (1, 2), max_tokens=2))
    core.step()
    core.step()
    assert [r.request_id for r in core.scheduler.admission.waiting] == ["waits", "passes"]
    core.step()  # the owner's prompt ended with the step before
    assert core.scheduler.admission.waiting == []
    assert run_to_end(core)["waits"][0].num_cached_tokens == len(SYSTEM)


def test_a_request_passes_one_that_waits_where_the_budget_allows() -> None:
    core = make_core(max_num_batched_tokens=20)
    for name, prompt in {"owner": SYSTEM, "waits": (*SYSTEM, 1), "passes": (1, 2)}.items():
        core.add(request(name, prompt, max_tokens=2))
    core.step()
    assert [r.request_id for r in core.scheduler.slots.running] == ["owner", "passes"]


@pytest.mark.parametrize("how", ["abort", "fail", "preempt"])
def test_when_the_owner_stops_the_one_that_waited_goes_on(how: str) -> None:
    core = make_core(max_num_batched_tokens=8)
    core.add(request("owner", SYSTEM, max_tokens=2))
    core.add(request("waits", (*SYSTEM, 1), max_tokens=2))
    if how == "fail":
        executor_of(core).fails = lambda batch: len(executor_of(core).batches) == 1
    core.step()
    if how == "abort":
        core.abort("owner")
    elif how == "preempt":
        core.scheduler._preempt(core.scheduler.requests["owner"])
    assert not core.scheduler.cache.promises.owners
    assert tokens_of(run_to_end(core)["waits"]) == generate_alone((*SYSTEM, 1), 2)


def test_nobody_waits_for_a_less_important_one() -> None:
    core = make_core(max_num_batched_tokens=12)
    core.add(request("owner", SYSTEM, max_tokens=2, priority=1))
    core.step()
    core.add(request("urgent", (*SYSTEM, 1), max_tokens=2, priority=0))
    core.add(request("patient", (*SYSTEM, 2), max_tokens=2, priority=1))
    core.step()
    assert [r.request_id for r in core.scheduler.admission.waiting] == ["patient"]
    messages = run_to_end(core)
    assert [tokens_of(messages[name]) for name in ("urgent", "patient")] == [
        generate_alone((*SYSTEM, 1), 2)[1:],
        generate_alone((*SYSTEM, 2), 2),
    ]


def test_salts_with_the_same_hash_share_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octavo_engine.core.request.root_hash", lambda salt: 1)
    core = make_core(max_num_batched_tokens=64)
    for salt in ("a", "b"):
        core.add(request(salt, (*SYSTEM, 1), max_tokens=1, cache_salt=salt))
        assert run_to_end(core)[salt][0].num_cached_tokens == 0


def test_a_prefix_is_shared_by_requests_of_the_same_salt_alone() -> None:
    core = make_core(max_num_batched_tokens=64)
    cached = {}
    for name, salt in {"first": "a", "other": "b", "none": "", "same": "a"}.items():
        core.add(request(name, (*SYSTEM, 1), max_tokens=1, cache_salt=salt))
        cached[name] = run_to_end(core)[name][0].num_cached_tokens
    assert cached == {"first": 0, "other": 0, "none": 0, "same": len(SYSTEM)}


def test_tenants_do_not_wait_for_each_other() -> None:
    core = make_core(max_num_batched_tokens=64)
    core.add(request("mine", (*SYSTEM, 1), cache_salt="a"))
    core.add(request("yours", (*SYSTEM, 1), cache_salt="b"))
    core.step()
    assert core.stats().num_running == 2


def test_colliding_hashes_mix_no_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octavo_engine.core.request.chain_hash", lambda parent, tokens: 5)
    core = make_core(max_num_batched_tokens=64)
    prompts = {"a": (*SYSTEM, 1), "b": tuple(range(50, 67)), "c": (*SYSTEM, 2), "d": (*SYSTEM[4:], 1)}
    for name, prompt in prompts.items():
        core.add(request(name, prompt, max_tokens=6))
    messages = run_to_end(core)
    assert {n: tokens_of(messages[n]) for n in prompts} == {
        n: generate_alone(prompt, 6) for n, prompt in prompts.items()
    }


def test_an_answer_is_cached_for_the_next_turn() -> None:
    core = make_core(max_num_batched_tokens=64)
    core.add(request("one", (1, 2, 3), max_tokens=10))
    answer = tokens_of(run_to_end(core)["one"])
    core.add(request("two", (1, 2, 3, *answer, 7), max_tokens=1))
    (message,) = run_to_end(core)["two"]
    assert message.num_cached_tokens == 12
    assert message.token_ids == tuple(generate_alone((1, 2, 3, *answer, 7), 1))
