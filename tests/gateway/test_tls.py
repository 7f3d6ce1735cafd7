"""A renewed certificate is used without a restart; a broken one is not."""

import contextlib
import logging
import shutil
import ssl
from pathlib import Path

import pytest
from certificates import write_pair

from octavo_gateway.settings import TlsFiles
from octavo_gateway.tls import Certificate

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="makes certificates with openssl")


def served_name(certificate: Certificate) -> bytes:
    """The name in the certificate of a handshake, without sockets."""
    client_in, client_out, server_in, server_out = (ssl.MemoryBIO() for _ in range(4))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = context.wrap_bio(client_in, client_out)
    server = certificate.context.wrap_bio(server_in, server_out, server_side=True)
    for _ in range(4):
        for side, out, into in ((client, client_out, server_in), (server, server_out, client_in)):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
            into.write(out.read())
    der = client.getpeercert(binary_form=True)
    assert der is not None
    return der


def test_a_renewed_pair_is_taken_and_an_unchanged_one_left_alone(tmp_path: Path) -> None:
    certificate = Certificate(write_pair(tmp_path, "old"))
    certificate.look()
    assert b"old" in served_name(certificate)
    write_pair(tmp_path, "new")
    certificate.look()
    assert b"new" in served_name(certificate)


def test_a_pair_that_does_not_fit_leaves_the_old_one_in_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "octavo_gateway")
    files = write_pair(tmp_path, "old")
    certificate = Certificate(files)
    (tmp_path / "other").mkdir()
    other = write_pair(tmp_path / "other", "other")
    other.certificate.replace(files.certificate)
    certificate.look()
    certificate.look()
    files.key.unlink()
    certificate.look()
    assert b"old" in served_name(certificate)
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]


def test_a_missing_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        Certificate(TlsFiles(certificate=tmp_path / "none", key=tmp_path / "none"))
