"""Certificate authorities and client certificates as an API server's front proxy has, made with openssl."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1")


@dataclass(frozen=True)
class Authority:
    folder: Path
    name: str

    @staticmethod
    def make(folder: Path, name: str) -> "Authority":
        authority = Authority(folder, name)
        _openssl(folder, name, f"/CN={name}")
        return authority

    @property
    def pem(self) -> str:
        return (self.folder / f"{self.name}.crt").read_text()

    def client(self, name: str, *, trusts: str, usage: str = "clientAuth") -> ssl.SSLContext:
        """The TLS of a client with a certificate of this authority, which trusts the CA in `trusts`."""
        file = f"{self.name}-{name}"
        extension = ("-addext", f"extendedKeyUsage={usage}", "-addext", "basicConstraints=critical,CA:FALSE")
        signer = ("-CA", f"{self.name}.crt", "-CAkey", f"{self.name}.key")
        _openssl(self.folder, file, f"/CN={name}", *signer, *extension)
        context = stranger(trusts)
        context.load_cert_chain(self.folder / f"{file}.crt", self.folder / f"{file}.key")
        return context


def stranger(trusts: str) -> ssl.SSLContext:
    """The TLS of a client without a certificate."""
    return ssl.create_default_context(cadata=trusts)


def _openssl(folder: Path, file: str, subject: str, *more: str) -> None:
    output = ("-keyout", f"{file}.key", "-out", f"{file}.crt", "-subj", subject)
    subprocess.run(
        ["openssl", "req", "-x509", *_KEY, *output, *more], cwd=folder, check=True, capture_output=True
    )
