"""Fields that say how to answer: a wrong one is named, with its value and what was expected."""

from typing import Any

import aiohttp
import pytest
from bad_requests import HELLO, PROMPT, refused


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({"max_tokens": -1}, "max_tokens", "max_tokens -1: Expected `int` >= 1"),
        ({"max_tokens": 0}, "max_tokens", "max_tokens 0"),
        ({"max_tokens": "10"}, "max_tokens", "got `str`"),
        ({"max_tokens": True}, "max_tokens", "got `bool`"),
        ({"max_tokens": 10**40}, "max_tokens", "<="),
        ({"n": 17}, "n", "n 17: Expected `int` <= 16"),
        ({"n": 10**9}, "n", "<= 16"),
        ({"temperature": -0.1}, "temperature", ">= 0"),
        ({"temperature": "hot"}, "temperature", "got `str`"),
        ({"top_p": 0}, "top_p", "> 0"),
        ({"top_p": 1.5}, "top_p", "<= 1"),
        ({"top_k": -2}, "top_k", ">= -1"),
        ({"min_p": 1.5}, "min_p", "min_p 1.5: Expected `float` <= 1"),
        ({"min_p": -0.1}, "min_p", ">= 0"),
        ({"presence_penalty": 2.5}, "presence_penalty", "presence_penalty 2.5: Expected `float` <= 2"),
        ({"presence_penalty": "much"}, "presence_penalty", "got `str`"),
        ({"frequency_penalty": -3}, "frequency_penalty", "frequency_penalty -3: Expected `float` >= -2"),
        ({"repetition_penalty": 0}, "repetition_penalty", "repetition_penalty 0: Expected `float` >= 0.01"),
        ({"repetition_penalty": 101}, "repetition_penalty", "<= 100"),
        ({"logprobs": 21}, "logprobs", "logprobs 21: Expected `int` <= 20"),
        ({"logprobs": -1}, "logprobs", ">= 0"),
        ({"logprobs": True}, "logprobs", "got `bool`"),
        ({"logprobs": 1, "echo": True}, "logprobs", "logprobs with echo"),
        ({"top_logprobs": 3}, "top_logprobs", "for completions set logprobs to the number"),
        ({"seed": 2**70}, "seed", "<="),
        ({"priority": 2**31}, "priority", "<="),
        ({"priority": "high"}, "priority", "got `str`"),
        ({"cache_salt": "x" * 257}, "cache_salt", "length <= 256"),
        ({"cache_salt": ""}, "cache_salt", "length >= 1"),
        ({"stop": ["x"] * 17}, "stop", "length <= 16"),
        ({"stop": ""}, "stop", "length >= 1"),
        ({"stop_token_ids": [-1]}, "stop_token_ids[0]", ">= 0"),
    ],
)
async def test_a_wrong_sampling_field_is_named(
    http: aiohttp.ClientSession, body: dict[str, Any], param: str, message: str
) -> None:
    status, error = await refused(http, "/v1/completions", PROMPT | body)
    assert (status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert message in error["message"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"top_logprobs": 2}, "top_logprobs 2: only with logprobs=true"),
        ({"top_logprobs": 2, "logprobs": False}, "top_logprobs 2: only with logprobs=true"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs 21: Expected `int` <= 20"),
        ({"logprobs": 3}, "logprobs 3: Expected `bool"),
    ],
)
async def test_wrong_log_probability_fields_of_a_chat_are_named(
    http: aiohttp.ClientSession, body: dict[str, Any], message: str
) -> None:
    status, error = await refused(http, "/v1/chat/completions", HELLO | body)
    assert (status, error["param"]) == (400, message.split()[0])
    assert message in error["message"]
