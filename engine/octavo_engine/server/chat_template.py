"""Renders a conversation to the model's prompt with the template that came with the model.

Templates are code from a model's author: they run in Jinja's immutable sandbox and see only what is passed.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from octavo_engine.errors import InvalidModel
from octavo_engine.server.errors import BadRequest


class ChatTemplate:
    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        self._special_tokens = dict(special_tokens)
        try:
            self._template = _environment().from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise InvalidModel(
                f"the model's chat template is not valid Jinja (line {error.lineno}: {error.message}); "
                "mend chat_template.jinja or tokenizer_config.json"
            ) from error

    def render(self, messages: Sequence[Mapping[str, object]]) -> str:
        try:
            return self._template.render(
                **self._special_tokens,
                messages=messages,
                tools=None,
                documents=None,
                add_generation_prompt=True,
            )
        except (jinja2.TemplateError, TypeError, ValueError, OverflowError) as error:
            raise BadRequest(
                f"the model's chat template refused the messages: {error}", param="messages"
            ) from error


def read_chat_template(folder: Path) -> ChatTemplate | None:
    """From chat_template.jinja or tokenizer_config.json; base models have neither."""
    config = _read_json(folder / "tokenizer_config.json")
    source = _template_source(folder / "chat_template.jinja", config)
    return None if source is None else ChatTemplate(source, _special_tokens(config))


def _template_source(file: Path, config: Mapping[str, object]) -> str | None:
    if file.is_file():
        return file.read_text(encoding="utf-8")
    configured = config.get("chat_template")
    if isinstance(configured, list):  # several by name: {"name": "default", "template": ...}
        named = {entry.get("name"): entry.get("template") for entry in configured if isinstance(entry, dict)}
        configured = named.get("default")
    return configured if isinstance(configured, str) else None


def _special_tokens(config: Mapping[str, object]) -> dict[str, str]:
    """`bos_token` and its like are strings, or objects with a `content`."""
    found: dict[str, str] = {}
    for key, value in config.items():
        content = value.get("content") if isinstance(value, dict) else value
        if key.endswith("_token") and isinstance(content, str):
            found[key] = content
    return found


def _read_json(file: Path) -> dict[str, object]:
    if not file.is_file():
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidModel(f"{file.name} is not valid JSON: {error}; fetch the model again") from error
    if not isinstance(content, dict):
        raise InvalidModel(f"{file.name} must be a JSON object; fetch the model again")
    return content


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[GenerationTag, "jinja2.ext.loopcontrols"],
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _to_json(value: object, ensure_ascii: bool = False, indent: int | None = None) -> str:
    """Jinja's own filter escapes HTML, which models have never seen."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(format: str) -> str:
    return datetime.now().astimezone().strftime(format)


class GenerationTag(Extension):
    """`{% generation %}` marks the assistant's words for training; when serving it is transparent."""

    tags = {"generation"}  # noqa: RUF012  (Jinja's own declaration)

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call: Callable[..., nodes.CallBlock] = nodes.CallBlock
        return call(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: Callable[[], str]) -> str:
        return caller()
