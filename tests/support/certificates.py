"""Certificates that sign themselves, made with openssl."""

import subprocess
from pathlib import Path

from octavo_gateway.settings import TlsFiles


def write_pair(folder: Path, name: str) -> TlsFiles:
    files = TlsFiles(certificate=folder / "tls.crt", key=folder / "tls.key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subjects = [
        "-subj",
        f"/CN={name}",
        "-days",
        "1",
        "-keyout",
        str(files.key),
        "-out",
        str(files.certificate),
    ]
    subprocess.run([*command, *subjects], check=True, capture_output=True)
    return files
