"""A file of prompts as typed requests, each checked before a model is loaded: a wrong line costs no waiting.

A line of JSON holds what a request to the server holds, less the model: `prompt` or `messages`, and any field
of sampling, which goes before the flag of that name. `id` is the caller's own and comes back with the answer.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from octavo_engine.errors import InvalidEngineConfig
from octavo_engine.server.errors import BadRequest
from octavo_engine.server.openai_schema import ChatRequest, CompletionRequest, parse_fields

PromptFormat = Literal["text", "jsonl"]
Fields = Mapping[str, object]
MAX_PROBLEMS_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePrompt:
    """`index` counts the prompts of the file from 0; blank lines are none."""

    index: int
    id: str | int | None
    request: CompletionRequest | ChatRequest
    digest: str
    """Of all that makes the answer: prompt, sampling and model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptDefaults:
    """For lines that do not say otherwise. Each prompt gets a seed of its own: `seed` plus its index."""

    sampling: Fields
    model: str = ""
    """What tells it from others: where it comes from, and in which numbers it computes."""
    seed: int = 0
    as_chat: bool = False
    """A plain prompt is the user's turn of a conversation."""


def format_of(name: str, text: str) -> PromptFormat:
    """By the name's ending; without one that is known, JSON begins with a brace."""
    if name.endswith((".jsonl", ".ndjson", ".json")):
        return "jsonl"
    if name.endswith(".txt"):
        return "text"
    return "jsonl" if text.lstrip().startswith("{") else "text"


def read_prompts(name: str, text: str, defaults: PromptDefaults) -> list[FilePrompt]:
    """Raises InvalidEngineConfig that names the wrong lines."""
    kind = format_of(name, text)
    prompts: list[FilePrompt] = []
    problems: list[str] = []
    # Not splitlines: it also splits at characters that JSON strings may hold.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            fields = _json_fields(line) if kind == "jsonl" else {"prompt": line.rstrip("\r")}
            prompts.append(_prompt(len(prompts), fields, defaults))
        except BadRequest as error:
            problems.append(f"line {number}: {error.message}")
    if problems:
        raise InvalidEngineConfig(f"--prompts {name}: {_summary(problems)}")
    if not prompts:
        raise InvalidEngineConfig(f"--prompts {name}: holds no prompt; write one a line")
    return prompts


def _summary(problems: list[str]) -> str:
    more = len(problems) - MAX_PROBLEMS_SHOWN
    shown = "\n  ".join(problems[:MAX_PROBLEMS_SHOWN])
    return f"{shown}\n  and {more} more lines" if more > 0 else shown


def _json_fields(line: str) -> Fields:
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise BadRequest(
            f"not valid JSON ({error}); write one object a line, or name the file .txt"
        ) from error
    if not isinstance(fields, dict):
        raise BadRequest('not a JSON object; write {"prompt": ...} or {"messages": [...]}')
    return fields


def _prompt(index: int, given: Fields, defaults: PromptDefaults) -> FilePrompt:
    prompt_id = given.get("id")
    if not isinstance(prompt_id, str | int | None) or isinstance(prompt_id, bool):
        raise BadRequest("id: must be a string or an integer")
    if ("prompt" in given) == ("messages" in given):
        raise BadRequest("give either prompt or messages")
    own = {name: value for name, value in given.items() if name != "id"}
    fields = {"seed": (defaults.seed + index) % 2**63, **defaults.sampling, **own, "model": ""}
    if defaults.as_chat and isinstance(fields.get("prompt"), str):
        fields["messages"] = [{"role": "user", "content": fields.pop("prompt")}]
    kind: type[CompletionRequest | ChatRequest] = ChatRequest if "messages" in fields else CompletionRequest
    parsed = parse_fields(fields, kind)
    if parsed.ignored_fields:
        raise BadRequest(f"unknown field {', '.join(parsed.ignored_fields)}; check its spelling")
    _refuse_several_answers(parsed.request)
    digest = _digest(defaults.model, parsed.request)
    return FilePrompt(index=index, id=prompt_id, request=parsed.request, digest=digest)


def _digest(model: str, request: CompletionRequest | ChatRequest) -> str:
    # Fields that were not given are left out, so that a field more in a later version changes no digest.
    given = {name: value for name, value in msgspec.to_builtins(request).items() if value is not None}
    return hashlib.sha256(msgspec.json.encode([model, given], order="sorted")).hexdigest()[:16]


def _refuse_several_answers(request: CompletionRequest | ChatRequest) -> None:
    if request.num_choices > 1:
        raise BadRequest("n: one answer a line; write the line several times, with other seeds")
    if isinstance(request, CompletionRequest) and len(request.prompts()) != 1:
        raise BadRequest("prompt: one prompt a line; write a line for each")
