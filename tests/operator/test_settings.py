import pytest

from octavo_operator.settings import Settings


def test_the_environment_is_enough() -> None:
    environment = {
        "OCTAVO_ENGINE_IMAGE": "octavo/engine:1",
        "OCTAVO_MODEL_ROOT": "/srv/models",
        "OCTAVO_HUB_ENDPOINT": "https://hub.example",
    }
    assert Settings.read([], environment) == Settings(
        engine_image="octavo/engine:1", model_root="/srv/models", hub_endpoint="https://hub.example"
    )


def test_empty_variables_are_absent_ones() -> None:
    environment = {"OCTAVO_ENGINE_IMAGE": "e", "OCTAVO_MODEL_ROOT": "", "OCTAVO_HUB_ENDPOINT": ""}
    assert Settings.read([], environment) == Settings(engine_image="e")


def test_a_flag_wins_over_its_variable() -> None:
    assert Settings.read(["--engine-image", "b"], {"OCTAVO_ENGINE_IMAGE": "a"}).engine_image == "b"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [([], "OCTAVO_ENGINE_IMAGE"), (["--engine-image", "e", "--model-root", "models"], "absolute path")],
)
def test_what_is_missing_or_wrong_is_said_in_a_sentence(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        Settings.read(arguments, {})
    assert words in capsys.readouterr().err
