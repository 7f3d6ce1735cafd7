"""How pip on this machine reaches its index, for the pip inside a build.

The settings are mounted while a build runs, and are in no layer and no history of an image: an index address
may hold a password, and another machine has another index.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

PASSED_ON = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout", "retries")
INSIDE = "/run/octavo-build"
CERTIFICATES = "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"


def mounts(folder: Path, wheels: Path | None) -> list[str]:
    """Write pip's configuration into `folder`; returns the volumes (`HOST:INSIDE:ro`) that a build needs."""
    settings = configured()
    certificate = certificate_file(settings, os.environ)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    configuration = folder / "pip.conf"
    configuration.touch(mode=0o600)
    configuration.write_text(pip_conf(settings, certificate is not None, wheels is not None))
    volumes = [f"{configuration}:/etc/pip.conf:ro"]
    if certificate:
        volumes.append(f"{certificate}:{INSIDE}/ca.crt:ro")
    if wheels:
        volumes.append(f"{wheels}:{INSIDE}/wheels:ro")
    return volumes


def configured() -> dict[str, str]:
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    return parse(listed.stdout)


def parse(listing: str) -> dict[str, str]:
    """`pip config list` as option -> value; the environment wins over files, as it does in pip."""
    pairs = [line.split("=", 1) for line in listing.splitlines() if "=" in line]
    by_origin = sorted(pairs, key=lambda pair: pair[0].startswith(":env:"))
    return {key.rsplit(".", 1)[-1]: str(ast.literal_eval(value)) for key, value in by_origin}


def certificate_file(settings: Mapping[str, str], environment: Mapping[str, str]) -> Path | None:
    """The machine's own bundle of authorities, when pip needs one."""
    named = [settings.get("cert"), *(environment.get(name) for name in CERTIFICATES)]
    return next((Path(name).resolve() for name in named if name and Path(name).is_file()), None)


def pip_conf(settings: Mapping[str, str], has_certificate: bool, has_wheels: bool) -> str:
    options = {name: settings[name] for name in PASSED_ON if name in settings}
    options["disable-pip-version-check"] = "1"
    if has_certificate:
        options["cert"] = f"{INSIDE}/ca.crt"
    if has_wheels:
        options["find-links"] = f"{INSIDE}/wheels"
    # The values of an option that has several stand on indented lines.
    lines = (
        f"{name} = {value.strip().replace(chr(10), chr(10) + '    ')}" for name, value in options.items()
    )
    return "\n".join(["[global]", *lines, ""])
