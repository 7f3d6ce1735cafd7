import pytest
from core_harness import check_blocks, executor_of, make_core, request, run_to_end, tokens_of
from fake_executor import generate_alone, rows_of

from octavo_engine.core.batch import Batch
from octavo_engine.messages import TokenLogprobs, TokensReady

BAD_TOKEN = 66


def has_bad_token(batch: Batch) -> bool:
    return BAD_TOKEN in batch.input_id_T


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
        [(len(row.token_ids), row.samples) for row in rows_of(batch)] for batch in executor_of(core).batches
    ]
    assert shapes[:4] == [
        [(2, True)],
        [(1, True), (7, False)],
        [(1, True), (7, False)],
        [(1, True), (6, True)],
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
    assert last == TokensReady(
        request_id="a", token_ids=(), num_generated_tokens=3, finish_reason="stop", stop_token_id=stop
    )


def test_ignore_eos_goes_on_but_own_stop_tokens_still_end() -> None:
    tokens = generate_alone((5, 6), 5)
    core = make_core(eos_token_ids=(tokens[1],))
    core.add(request("a", (5, 6), 10, ignore_eos=True, stop_token_ids=(tokens[4],)))
    messages = run_to_end(core)["a"]
    assert (tokens_of(messages), messages[-1].finish_reason) == (tokens[:4], "stop")


def test_rows_below_min_tokens_may_not_stop() -> None:
    core = make_core()
    core.add(request("a", (1,), max_tokens=4, min_tokens=2, stop_token_ids=(96, 95, 97)))
    run_to_end(core)
    banned = [batch.banned_NK for batch in executor_of(core).batches]
    assert [None if tokens is None else tokens.tolist() for tokens in banned] == [
        [[95, 96]],
        [[95, 96]],
        None,
        None,
    ]


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
    core = make_core(fails=has_bad_token)
    core.add(request("bad", (*range(8), BAD_TOKEN)))
    failed = run_to_end(core)["bad"]
    core.add(request("good", tuple(range(9))))
    good = run_to_end(core)["good"]
    assert [message.finish_reason for message in failed] == ["error"]
    assert tokens_of(good) == generate_alone(tuple(range(9)), 4)
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
    core = make_core(fails=has_bad_token)
    for request_id in ("bad1", "bad2", "good1", "bad3", "bad4", "good2"):
        core.add(request(request_id, (BAD_TOKEN,) if request_id.startswith("bad") else (1,)))
        messages = run_to_end(core)
        expected = "error" if request_id.startswith("bad") else "length"
        assert messages[request_id][-1].finish_reason == expected


def test_with_two_steps_in_flight_the_next_is_scheduled_before_the_token_is_known() -> None:
    core = make_core(depth=2)
    core.add(request("a", (1, 2), max_tokens=3))
    assert core.step() == []
    assert len(core.step()) == 1
    assert [batch.input_id_T.tolist() for batch in executor_of(core).batches] == [[1, 2], [-1]]
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


@pytest.mark.parametrize("depth", [1, 2])
def test_a_row_whose_logits_are_not_numbers_ends_alone(depth: int) -> None:
    core = make_core(depth=depth)
    wrong = generate_alone((5, 6), 3)[2]
    executor_of(core).invalid = lambda token_id: token_id == wrong
    core.add(request("bad", (5, 6), max_tokens=9))
    core.add(request("good", (1, 2), max_tokens=6))
    messages = run_to_end(core)
    assert tokens_of(messages["bad"]) == generate_alone((5, 6), 2)
    assert messages["bad"][-1].finish_reason == "error"
    assert messages["bad"][-1].num_generated_tokens == 2
    assert tokens_of(messages["good"]) == generate_alone((1, 2), 6)
    assert core.stats().generation_tokens == 8


def test_log_probabilities_go_to_those_who_asked_for_as_many_as_they_asked() -> None:
    core = make_core()
    for request_id, number in {"two": 2, "none": None, "chosen": 0}.items():
        core.add(request(request_id, (1, 2), max_tokens=1, num_logprobs=number))
    (token,) = generate_alone((1, 2), 1)
    found = {key: messages[0].logprobs for key, messages in run_to_end(core).items()}
    assert found == {
        "two": (TokenLogprobs(-token, ((token, -token), (token + 1, -token - 1))),),
        "none": (),
        "chosen": (TokenLogprobs(-token),),
    }


def test_a_stop_token_takes_its_log_probabilities_with_it() -> None:
    (stop,) = generate_alone((1, 2), 1)
    core = make_core(eos_token_ids=(stop,))
    core.add(request("a", (1, 2), num_logprobs=1))
    (message,) = run_to_end(core)["a"]
    assert (message.token_ids, message.logprobs, message.finish_reason) == ((), (), "stop")


def test_two_steps_failing_in_flight_end_their_own_requests_once() -> None:
    core = make_core(depth=2, fails=has_bad_token)
    core.add(request("bad", (BAD_TOKEN, 1)))
    core.add(request("good", (1, 2), max_tokens=3))
    core.step()  # both share a step, and so the failure
    messages = run_to_end(core)
    assert [[m.finish_reason for m in messages[key]] for key in ("bad", "good")] == [["error"], ["error"]]
    core.add(request("later", (1, 2), max_tokens=3))
    assert tokens_of(run_to_end(core)["later"]) == generate_alone((1, 2), 3)


def test_a_slot_serves_one_after_the_other_with_their_own_stops() -> None:
    first, second = generate_alone((5, 6), 8), generate_alone((1, 2), 8)
    core = make_core(max_num_seqs=1)
    core.add(request("a", (5, 6), max_tokens=8, stop_token_ids=(first[3], 95, 94, second[1])))
    core.add(request("b", (1, 2), max_tokens=8))
    messages = run_to_end(core)
    assert tokens_of(messages["a"]) == first[:3]
    assert tokens_of(messages["b"]) == second


@pytest.mark.parametrize("num_known", range(1, 6))
def test_a_request_goes_on_from_what_another_engine_generated(num_known: int) -> None:
    tokens = generate_alone((5, 6), 6)
    core = make_core()
    core.add(request("a", (5, 6), max_tokens=6, generated=tuple(tokens[:num_known])))
    messages = run_to_end(core)["a"]
    assert tokens_of(messages) == tokens[num_known:]
    assert [message.num_generated_tokens for message in messages] == list(range(num_known + 1, 7))
    assert messages[-1].finish_reason == "length"


def test_random_numbers_and_min_tokens_count_on_from_what_another_engine_generated() -> None:
    core = make_core()
    core.add(request("a", (5, 6), max_tokens=6, generated=(1, 2, 3), min_tokens=5))
    run_to_end(core)
    batches = executor_of(core).batches
    assert [batch.num_generated_N.tolist() for batch in batches] == [[3], [4], [5]]
    assert [batch.banned_NK is None for batch in batches] == [False, False, True]


def test_generated_tokens_found_in_the_cache_are_no_cached_prompt_tokens() -> None:
    prompt, tokens = (1, 2, 3, 4), tuple(generate_alone((1, 2, 3, 4), 12))
    core = make_core(block_size=4)
    core.add(request("a", prompt, max_tokens=12))
    run_to_end(core)
    core.add(request("b", prompt, max_tokens=12, generated=tokens[:10]))
    assert {message.num_cached_tokens for message in run_to_end(core)["b"]} == {4}
    assert core.stats().prefix_cache_hits == 4


@pytest.mark.parametrize(
    ("generated", "problem"),
    [
        ((1, 97), "a generated token id is outside the vocabulary of 97"),
        ((1, -1), "a generated token id is outside"),
        ((1,) * 4, "4 tokens are generated already: there is nothing left to generate"),
    ],
)
def test_generated_tokens_that_cannot_be_are_refused(generated: tuple[int, ...], problem: str) -> None:
    refusal = make_core().add(request("a", (1, 2), max_tokens=4, generated=generated))
    assert refusal is not None and refusal.finish_reason == "error"
    assert problem in (refusal.error or "")
