import json
from pathlib import Path

import pytest

from octavo_engine.errors import InvalidModel
from octavo_engine.server.chat_template import ChatTemplate, read_chat_template
from octavo_engine.server.errors import BadRequest

HELLO = [{"role": "user", "content": "Hello"}]


def test_a_template_sees_messages_special_tokens_and_the_generation_prompt() -> None:
    template = ChatTemplate(
        "{{ bos_token }}\n{% for m in messages %}\n<{{ m.role }}>{{ m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}",
        {"bos_token": "<s>"},
    )
    assert template.render(HELLO) == "<s>\n<user>Hello<assistant>"


def test_loops_can_break_json_is_plain_and_training_marks_are_transparent() -> None:
    template = ChatTemplate(
        "{% for m in messages %}{{ m | tojson }}{% break %}{% endfor %}"
        "{% generation %}words{% endgeneration %}",
        {},
    )
    assert template.render([{"role": "user", "content": "<é>"}, *HELLO]) == (
        '{"role": "user", "content": "<é>"}words'
    )


def test_a_template_that_refuses_tells_the_client_why() -> None:
    template = ChatTemplate("{{ raise_exception('roles must alternate') }}", {})
    with pytest.raises(BadRequest, match="refused the messages: roles must alternate"):
        template.render(HELLO)


@pytest.mark.parametrize(
    "attack",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ self.__init__.__globals__ }}",
        "{% for i in range(10**9) %}{% endfor %}",
    ],
)
def test_a_template_cannot_leave_its_sandbox(attack: str) -> None:
    with pytest.raises(BadRequest):
        ChatTemplate(attack, {}).render(HELLO)


def write_config(folder: Path, **config: object) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def test_the_file_beats_the_config_and_tokens_may_be_objects(tmp_path: Path) -> None:
    write_config(tmp_path, chat_template="config", eos_token={"content": "</s>"})
    (tmp_path / "chat_template.jinja").write_text("file {{ eos_token }}")
    template = read_chat_template(tmp_path)
    assert template is not None
    assert template.render(HELLO) == "file </s>"


def test_of_several_named_templates_the_default_is_taken(tmp_path: Path) -> None:
    write_config(
        tmp_path,
        chat_template=[{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}],
    )
    template = read_chat_template(tmp_path)
    assert template is not None
    assert template.render(HELLO) == "plain"


def test_a_base_model_has_none(tmp_path: Path) -> None:
    assert read_chat_template(tmp_path) is None


def test_a_template_that_is_not_jinja_makes_the_model_invalid(tmp_path: Path) -> None:
    write_config(tmp_path, chat_template="{% if %}")
    with pytest.raises(InvalidModel, match="not valid Jinja"):
        read_chat_template(tmp_path)


def test_a_broken_config_makes_the_model_invalid(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(InvalidModel, match=r"tokenizer_config\.json is not valid JSON"):
        read_chat_template(tmp_path)
