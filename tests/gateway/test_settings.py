from pathlib import Path

import pytest

from octavo_gateway.settings import Settings, TlsFiles


def test_in_a_pod_the_namespace_is_enough() -> None:
    assert Settings.read([], {"OCTAVO_NAMESPACE": "n"}) == Settings(namespace="n")
    assert (Settings(namespace="n").http_port, Settings(namespace="n").admin_port) == (8080, 8081)


def test_every_flag_has_a_variable_and_wins_over_it() -> None:
    environment = {
        "OCTAVO_NAMESPACE": "n",
        "OCTAVO_HTTP_PORT": "1",
        "OCTAVO_ADMIN_PORT": "2",
        "OCTAVO_DRAIN_PROPAGATION_SECONDS": "3",
        "OCTAVO_DRAIN_TIMEOUT_SECONDS": "4",
        "OCTAVO_MAX_CONTINUATIONS": "0",
        "OCTAVO_LOG_LEVEL": "",
        "KUBECONFIG": "k",
    }
    assert Settings.read(["--http-port", "9"], environment) == Settings(
        namespace="n",
        kubeconfig="k",
        http_port=9,
        admin_port=2,
        drain_propagation_seconds=3.0,
        drain_timeout_seconds=4.0,
        max_continuations=0,
    )


def test_with_a_certificate_the_port_is_that_of_tls() -> None:
    settings = Settings.read(["--namespace", "n", "--tls-cert", "/c", "--tls-key", "/k"], {})
    assert settings.tls == TlsFiles(certificate=Path("/c"), key=Path("/k"))
    assert settings.http_port == 8443


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "OCTAVO_NAMESPACE"),
        (["--namespace", "n", "--tls-cert", "/c"], "go together"),
        (["--namespace", "n", "--drain-timeout-seconds", "-1"], "must not be negative"),
        (["--namespace", "n", "--http-port", "x"], "invalid int value"),
    ],
)
def test_what_is_missing_or_wrong_is_said_in_a_sentence(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        Settings.read(arguments, {})
    assert words in capsys.readouterr().err
