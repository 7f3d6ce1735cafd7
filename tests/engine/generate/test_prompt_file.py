import json
from dataclasses import replace
from typing import Any

import pytest

from octavo_engine.errors import InvalidEngineConfig
from octavo_engine.generate.prompt_file import FilePrompt, PromptDefaults, format_of, read_prompts
from octavo_engine.server.openai_schema import ChatRequest, CompletionRequest

DEFAULTS = PromptDefaults(sampling={"max_tokens": 9, "temperature": 0.5}, seed=100)
CHAT = PromptDefaults(sampling={}, as_chat=True)


def prompts(name: str, *lines: str, defaults: PromptDefaults = DEFAULTS) -> list[FilePrompt]:
    return read_prompts(name, "\n".join(lines) + "\n", defaults)


def refusal(name: str, *lines: str) -> str:
    with pytest.raises(InvalidEngineConfig) as caught:
        prompts(name, *lines)
    return str(caught.value)


def test_a_line_of_text_is_a_prompt_and_a_blank_one_is_none() -> None:
    found = prompts("a.txt", "One, ", "", "{two}\r")
    assert [(prompt.index, prompt.request.prompts()) for prompt in found if _is_completion(prompt)] == [
        (0, ["One, "]),
        (1, ["{two}"]),
    ]


def _is_completion(prompt: FilePrompt) -> bool:
    return isinstance(prompt.request, CompletionRequest)


def test_a_line_s_own_fields_go_before_the_flags() -> None:
    given = {"prompt": "x", "max_tokens": 3, "seed": 7, "stop": ["a", "b"], "id": "mine"}
    own, default = prompts("a.jsonl", json.dumps(given), '{"prompt": "y"}')
    assert (own.id, own.request) == (
        "mine",
        CompletionRequest(model="", prompt="x", max_tokens=3, temperature=0.5, seed=7, stop=["a", "b"]),
    )
    assert default.request == CompletionRequest(model="", prompt="y", max_tokens=9, temperature=0.5, seed=101)


def test_each_prompt_has_a_seed_of_its_own_whichever_others_are_answered() -> None:
    assert [prompt.request.seed for prompt in prompts("a.txt", "a", "b", "c")] == [100, 101, 102]


def test_a_plain_prompt_becomes_the_user_s_turn_where_asked() -> None:
    plain, conversation = prompts(
        "a.jsonl",
        '{"prompt": "Hi"}',
        '{"messages": [{"role": "system", "content": "Be brief"}]}',
        defaults=CHAT,
    )
    for prompt, expected in ((plain, ("user", "Hi")), (conversation, ("system", "Be brief"))):
        assert isinstance(prompt.request, ChatRequest)
        assert [(message.role, message.content) for message in prompt.request.messages] == [expected]


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("a.jsonl", "x", "jsonl"),
        ("a.txt", '{"prompt": "x"}', "text"),
        ("-", ' {"prompt": "x"}', "jsonl"),
        ("-", "Once upon", "text"),
    ],
)
def test_the_name_tells_the_format_and_without_one_the_first_character(
    name: str, text: str, kind: str
) -> None:
    assert format_of(name, text) == kind


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "not valid JSON"),
        ('{"prompt": "x", "temperature": NaN}', "not valid JSON"),
        ('{"prompt": "x", "stop": [-Infinity]}', "not valid JSON"),
        ('{"prompt": "x", "top_p": 1e999}', "not valid JSON"),
        ('{"prompt": "\\ud800"}', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[1]", "not a JSON object"),
        ('{"text": "x"}', "give either prompt or messages"),
        ('{"prompt": "x", "messages": []}', "give either prompt or messages"),
        ('{"prompt": "x", "max_token": 5}', "unknown field max_token; check its spelling"),
        ('{"prompt": "x", "temperature": 3}', "temperature 3: Expected `float` <= 2.0"),
        ('{"prompt": "x", "n": 2}', "n: one answer a line"),
        ('{"prompt": ["x", "y"]}', "prompt: one prompt a line"),
        ('{"prompt": "x", "id": 1.5}', "id: must be a string or an integer"),
        ('{"prompt": "x", "tools": [{}]}', "tools is not supported"),
        ('{"messages": []}', "messages: Expected `array` of length >= 1"),
    ],
)
def test_a_wrong_line_is_named_with_its_number(line: str, words: str) -> None:
    told = refusal("a.jsonl", '{"prompt": "fine"}', "", line)
    assert told.startswith("--prompts a.jsonl: line 3: ")
    assert words in told


def test_many_wrong_lines_are_counted_and_the_first_are_named() -> None:
    told = refusal("a.jsonl", *["{"] * 9).splitlines()
    assert (len(told), told[-1]) == (6, "  and 4 more lines")


def test_no_prompt_at_all_is_an_error() -> None:
    assert refusal("a.txt", "", " ") == "--prompts a.txt: holds no prompt; write one a line"


def test_separators_within_json_strings_end_no_line() -> None:
    (prompt,) = prompts("a.jsonl", '{"prompt": "a\u2028b"}')
    assert isinstance(prompt.request, CompletionRequest)
    assert prompt.request.prompt == "a\u2028b"


def test_prompt_sampling_and_model_make_a_digest_and_id_and_the_other_prompts_do_not() -> None:
    def digest(line: str, **defaults: Any) -> str:
        (prompt,) = prompts("a.jsonl", line, defaults=replace(DEFAULTS, **defaults))
        return prompt.digest

    same = digest('{"prompt": "x"}')
    assert digest('{"id": 3, "temperature": 0.5, "prompt": "x", "top_p": null}') == same
    assert prompts("a.jsonl", '{"prompt": "x"}', '{"prompt": "y"}')[0].digest == same
    others = [
        digest('{"prompt": "y"}'),
        digest('{"messages": [{"role": "user", "content": "x"}]}'),
        digest('{"prompt": "x", "top_k": 1}'),
        digest('{"prompt": "x"}', seed=101),
        digest('{"prompt": "x"}', sampling={"max_tokens": 8}),
        digest('{"prompt": "x"}', model="another"),
    ]
    assert len({same, *others}) == 1 + len(others)
