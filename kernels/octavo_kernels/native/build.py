"""Compiles the CPU kernels: C++ without PyTorch's headers, so a compiler is all it takes, and some seconds.

    python -m octavo_kernels.native.build --out FOLDER      all instruction sets, for an image or a wheel

A library is named after its sources, so one that was built from others is never loaded. It ends with a digest
of the rest, for to load half a file ends the process.
"""

import argparse
import hashlib
import logging
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from octavo_kernels.native.instruction_set import INSTRUCTION_SETS, InstructionSet

logger = logging.getLogger(__name__)

PACKAGE = Path(__file__).resolve().parent.parent
UNITS = (PACKAGE / "native" / "library.cpp", PACKAGE / "native" / "pool.cpp")
FLAGS = (
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-shared",
    "-pthread",
    "-fvisibility=hidden",
    "-ffp-contract=off",
    "-Wall",
    "-Wno-maybe-uninitialized",
)
"""No contraction: where a product and a sum become one operation is said in the code, not by a compiler."""

COMPILERS = ("g++", "clang++", "c++")


class BuildError(Exception):
    """The compiler is missing or refuses; the message is for a log."""


def library_name(instruction_set: InstructionSet) -> str:
    digest = hashlib.sha256(repr((FLAGS, instruction_set.flags)).encode())
    for source in sorted([*PACKAGE.rglob("*.cpp"), *PACKAGE.rglob("*.h")]):
        digest.update(source.read_bytes())
    return f"liboctavo-{instruction_set.name}-{digest.hexdigest()[:16]}.so"


def build(instruction_set: InstructionSet, folder: Path) -> Path:
    """Compile into `folder`. Raises BuildError. Two processes may build at once: files come whole."""
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise BuildError(
            f"there is no C++ compiler ({', '.join(COMPILERS)}); on Debian or Ubuntu: apt-get install g++"
        )
    target = folder / library_name(instruction_set)
    logger.info("compiling the CPU kernels for %s into %s, once", instruction_set.name, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            output = Path(scratch) / target.name
            command = [compiler, *FLAGS, *instruction_set.flags, "-o", str(output), *map(str, UNITS)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise BuildError(f"{' '.join(command)} failed: {done.stderr.strip()[-2000:]}")
            output.write_bytes(_sealed(output.read_bytes()))
            output.replace(target)
    except OSError as error:
        raise BuildError(f"cannot write {target}: {error}") from error
    return target


def is_whole(library: Path) -> bool:
    """Whether it is there as `build` left it. Raises OSError where it cannot be read."""
    if not library.exists():
        return False
    content = library.read_bytes()
    return content == _sealed(content[: -hashlib.sha256().digest_size])


def _sealed(content: bytes) -> bytes:
    return content + hashlib.sha256(content).digest()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m octavo_kernels.native.build", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    options = parser.parse_args(arguments)
    try:
        for instruction_set in INSTRUCTION_SETS:
            sys.stdout.write(f"{build(instruction_set, options.out)}\n")
    except BuildError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
