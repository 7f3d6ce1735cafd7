"""The `octavo` command: flags and environment in, an exit code out.

Heavy imports wait until a command needs them: `octavo drain` runs in a hook that is short of time.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn, Protocol

from octavo_engine import __version__
from octavo_engine.commands import check, drain, generate, serve

EXIT_BAD_FLAGS = 64  # the number of errors.InvalidEngineConfig
COMMANDS: dict[str, "Command"] = {"serve": serve, "generate": generate, "check": check, "drain": drain}


def main(arguments: Sequence[str] | None = None) -> int:
    options, unknown = build_parser().parse_known_args(arguments)
    if unknown:  # parse_args would point to the help of `octavo`, which has no command's flags
        _Parser(prog=f"octavo {options.command}").error(f"unrecognized arguments: {' '.join(unknown)}")
    if options.command == "version":
        return _version()
    try:
        return COMMANDS[options.command].run(options, os.environ)
    except KeyboardInterrupt:  # during the imports; from then on a command stops in its own way
        return generate.EXIT_INTERRUPTED


class Command(Protocol):
    """A module of `commands`."""

    SUMMARY: str
    DESCRIPTION: str
    EPILOG: str

    def add_flags(self, parser: argparse.ArgumentParser, /) -> None: ...

    def run(self, options: argparse.Namespace, environment: Mapping[str, str]) -> int:
        """The exit code."""
        ...


class _Parser(argparse.ArgumentParser):
    """argparse exits with 2; the operator knows 64 as "a flag is wrong"."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{self.prog}: {message}; see {self.prog} --help\n")
        sys.exit(EXIT_BAD_FLAGS)


def build_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="octavo", description="Serve large language models as OpenAI's API does.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        command.add_flags(
            commands.add_parser(
                name,
                help=command.SUMMARY,
                description=command.DESCRIPTION,
                epilog=command.EPILOG,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
        )
    commands.add_parser("version", help="print the version")
    return parser


def _version() -> int:
    print(f"octavo {__version__}")
    return 0
