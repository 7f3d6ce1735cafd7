"""Fields that OpenAI or vLLM know and this server does not act on yet.

Clients send many of them at their default, which asks for nothing; any other value is refused by name,
for silence would look like obedience.
"""

from collections.abc import Mapping

from octavo_engine.server.errors import BadRequest

# They describe the caller or the account, not the answer.
ACCEPTED_UNUSED: frozenset[str] = frozenset(
    {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "request_id"}
)

# Values, beside null, that ask for nothing.
_DEFAULTS: Mapping[str, tuple[object, ...]] = {
    "add_generation_prompt": (True,),
    "add_special_tokens": (),
    "allowed_token_ids": (),
    "audio": (),
    "bad_words": ([],),
    "best_of": (1,),
    "chat_template": (),
    "chat_template_kwargs": ({},),
    "continue_final_message": (False,),
    "documents": ([],),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "guided_choice": (),
    "guided_grammar": (),
    "guided_json": (),
    "guided_regex": (),
    "include_reasoning": (True,),
    "include_stop_str_in_output": (False,),
    "kv_transfer_params": (),
    "length_penalty": (1,),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "parallel_tool_calls": (True, False),
    "prediction": (),
    "prompt_logprobs": (),
    "reasoning_effort": ("none",),
    "response_format": ({"type": "text"},),
    "return_token_ids": (False,),
    "return_tokens_as_token_ids": (False,),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True,),
    "structured_outputs": (),
    "suffix": ("",),
    "thinking_token_budget": (),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "truncate_prompt_tokens": (),
    "use_beam_search": (False,),
    "verbosity": ("medium",),
    "web_search_options": (),
}


# Not honoured, yet not overlooked: a request need not be told that they were ignored.
UNDERSTOOD = ACCEPTED_UNUSED | _DEFAULTS.keys() | {"echo", "top_logprobs"}


def refuse_unsupported(fields: Mapping[str, object]) -> None:
    for name, value in fields.items():
        if name in _DEFAULTS and value is not None and not _asks_nothing(value, _DEFAULTS[name]):
            raise BadRequest(
                f"{name} is not supported yet; leave it out", param=name, code="unsupported_parameter"
            )
    if fields.get("echo") and "messages" in fields:
        raise BadRequest(
            "echo is not supported for chat; leave it out", param="echo", code="unsupported_parameter"
        )
    if fields.get("top_logprobs") and "messages" not in fields:
        raise BadRequest(
            "top_logprobs is chat's; for completions set logprobs to the number",
            param="top_logprobs",
            code="unsupported_parameter",
        )


def _asks_nothing(value: object, defaults: tuple[object, ...]) -> bool:
    """`logprobs: 0` asks for something where `False` does not, so types count, save between numbers."""
    return any(
        value == default and isinstance(value, bool) == isinstance(default, bool) for default in defaults
    )
