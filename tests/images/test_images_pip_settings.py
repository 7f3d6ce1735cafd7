"""The machine's pip settings, as the pip inside a build gets them."""

from pathlib import Path

from images.pip_settings import certificate_file, parse, pip_conf

LISTING = """\
:env:.index-url='https://user:pw@mirror.example/simple'
global.index-url='https://other.example/simple'
global.extra-index-url='\\nhttps://a.example\\nhttps://b.example'
global.find-links='/opt/wheels'
install.no-binary='x'
"""


def test_the_environment_wins_over_files() -> None:
    assert parse(LISTING)["index-url"] == "https://user:pw@mirror.example/simple"


def test_only_what_leads_to_the_index_is_passed_on() -> None:
    assert pip_conf(parse(LISTING), has_certificate=True, has_wheels=True) == (
        "[global]\n"
        "index-url = https://user:pw@mirror.example/simple\n"
        "extra-index-url = https://a.example\n"
        "    https://b.example\n"
        "disable-pip-version-check = 1\n"
        "cert = /run/octavo-build/ca.crt\n"
        "find-links = /run/octavo-build/wheels\n"
    )


def test_a_machine_without_settings_changes_nothing() -> None:
    assert (
        pip_conf({}, has_certificate=False, has_wheels=False) == "[global]\ndisable-pip-version-check = 1\n"
    )


def test_pips_own_certificate_comes_before_the_environments(tmp_path: Path) -> None:
    own, other = tmp_path / "own.pem", tmp_path / "other.pem"
    own.touch()
    other.touch()
    assert certificate_file({"cert": str(own)}, {"SSL_CERT_FILE": str(other)}) == own
    assert certificate_file({}, {"SSL_CERT_FILE": str(other)}) == other
    assert certificate_file({"cert": str(tmp_path / "absent")}, {}) is None
