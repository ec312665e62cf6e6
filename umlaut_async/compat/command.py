"""`umlaut-cli`: UMLAUT's command, which draws, prints or lists the measurements of a database."""

from __future__ import annotations

import argparse
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from umlaut_async.cli.text import safe
from umlaut_async.compat.plotting.output import BACKENDS, Target, put
from umlaut_async.errors import ArgumentError, UmlautError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from umlaut_async.compat.choosing import Choice

__all__ = ["main"]

FAILED = 1
INTERRUPTED = 130
_FLAGS = {"uuids": "-u/--uuids", "types": "-t/--types", "descriptions": "-d/--descriptions"}
_LIBRARIES = {"matplotlib": "matplotlib", "plotly": "plotly"}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit: 0 is success, 1 a failure, 2 a usage that cannot be, 130 Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if callable(reconfigure := getattr(stream, "reconfigure", None)):
            reconfigure(errors="backslashreplace")  # a locale without "µ" is no reason to fail
    try:
        _run(_parser(), arguments)
        sys.stdout.flush()
    except UmlautError as error:
        _say(str(error))
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever reads has had enough; the interpreter would complain of it once more as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    sys.exit(0)


def _run(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> None:
    given = parser.parse_args(arguments)
    if given.tmp is not None:
        _say("-tmp is ignored: measurements are read without a temporary directory")
    missing = [flag for name, flag in _FLAGS.items() if getattr(given, name) is None]
    if missing and not (sys.stdin.isatty() and sys.stdout.isatty()):
        parser.error(f"without a terminal to ask in, these arguments are required: {', '.join(missing)}")
    _require(_LIBRARIES.get(given.plotting_backend), f"to draw with {given.plotting_backend}; or print with -p text")
    if missing:
        _require("questionary", f"to ask for what is missing; or pass {', '.join(missing)}")

    from umlaut_async.compat.choosing import choice_of, choices, chosen
    from umlaut_async.compat.plotting.shapes import contents
    from umlaut_async.legacy import reading

    found = chosen(choices(given.file), given.uuids, given.types, given.descriptions, warn=_say)
    if missing:
        found = _asked(given, found)
    wanted = set(found)
    # What has a description of its own for each call is told apart here: SQLite takes only so many of them at once.
    uuids, types = ({getattr(choice, field) for choice in found} for field in ("uuid", "type"))
    # An empty text may stand for NULL, which no list of values finds.
    measurements = reading.read(given.file, () if "" in uuids else uuids, () if "" in types else types)
    read = contents(measured for measured in measurements if choice_of(measured) in wanted)
    stem = re.sub(r"[^\w.-]+", "-", Path(given.file).stem).strip(".-") or "umlaut"
    for path in put(given.plotting_backend, read, Target(given.output, stem)):
        print(safe(path, 1000))  # noqa: T201


def _asked(given: argparse.Namespace, found: list[Choice]) -> list[Choice]:
    from umlaut_async.compat.prompts import ask
    from umlaut_async.legacy import reading

    return ask(
        found,
        reading.runs(given.file),
        uuids=given.uuids is None,
        types=given.types is None,
        descriptions=given.descriptions is None,
    )


def _require(module: str | None, purpose: str) -> None:
    if module is not None and find_spec(module) is None:
        raise ArgumentError(f"{module} is needed {purpose}; install it with: pip install 'umlaut_async[plot]'")


def _say(message: str) -> None:
    print(f"umlaut-cli: {safe(message, 1000)}", file=sys.stderr)  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="umlaut-cli",
        description="Draw, print or list the measurements of a database that umlaut_async or UMLAUT has written.",
        epilog="What is left out of -u, -t and -d is asked for, where there is a terminal.",
    )
    parser.add_argument("file", metavar="DB", help="the path of the database; it stands before the options")
    parser.add_argument(
        "-u", "--uuids", nargs="+", metavar="UUID", help="the runs, each by its uuid or the beginning of it"
    )
    parser.add_argument("-t", "--types", nargs="+", metavar="TYPE", help="the types of measurement, such as memory")
    parser.add_argument(
        "-d", "--descriptions", nargs="+", metavar="DESCRIPTION", help="the descriptions of the measurements"
    )
    parser.add_argument(
        "-p",
        "--plotting-backend",
        choices=BACKENDS,
        default="plotly",
        help="what draws or prints them (default: %(default)s)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FOLDER",
        help="write files into this folder: HTML of plotly, PNG of matplotlib, text or CSV",
    )
    parser.add_argument("-tmp", nargs="?", const="", metavar="FOLDER", help=argparse.SUPPRESS)
    return parser
