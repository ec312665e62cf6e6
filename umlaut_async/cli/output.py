"""Files that commands write, and never over the database that they read."""

from __future__ import annotations

import contextlib
import gzip
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import click

from umlaut_async.text import safe

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["STDOUT", "check_output", "opened"]

STDOUT = "-"


def check_output(path: str, db: str) -> None:
    """Refuse a file that cannot be meant as the output of a command that reads a database.

    Raises:
        click.ClickException: It is the database, or a folder, or in a folder that does not exist.
    """
    if path == STDOUT:
        return
    out = Path(path)
    with contextlib.suppress(OSError, ValueError):  # a URL is no file
        if os.path.samefile(out, db):
            raise click.UsageError(f"{path} is the database itself; name another file to write to")
    if out.is_dir():
        raise click.UsageError(f"{path} is a folder; name a file in it")
    try:
        out = out.absolute()
    except FileNotFoundError:
        message = f"the working directory was removed, so {path} leads nowhere; name an absolute path"
        raise click.UsageError(message) from None
    if not out.parent.is_dir():
        raise click.UsageError(f"there is no folder {out.parent} to write {out.name} in; make it first")


@contextlib.contextmanager
def opened(path: str, *, binary: bool = False) -> Iterator[IO[Any]]:
    """Open a file that is there with all of its content or not at all; "-" is standard output.

    Text is UTF-8, and compressed where the name ends with ".gz".

    Raises:
        click.ClickException: It cannot be written.
    """
    if path == STDOUT:
        with _standard_output() as target:
            yield target
        return
    real = os.path.realpath(path)
    # What is there and no file, such as a pipe or /dev/null, is written as it is.
    whole = not os.path.exists(real) or os.path.isfile(real)
    partial = f"{real}.part" if whole else real
    try:
        with _open(partial, binary, compressed=path.endswith(".gz")) as target:
            yield target
        if whole:
            os.replace(partial, real)
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        if whole:
            with contextlib.suppress(OSError):
                os.unlink(partial)


def _open(path: str, binary: bool, compressed: bool) -> IO[Any]:
    if binary:
        return open(path, "wb")
    text: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}
    return cast("IO[Any]", gzip.open(path, "wt", **text)) if compressed else open(path, "w", **text)


@contextlib.contextmanager
def _standard_output() -> Iterator[IO[Any]]:
    if sys.stdout.isatty():
        yield cast("IO[Any]", _Terminal())
        return
    if callable(reconfigure := getattr(sys.stdout, "reconfigure", None)):
        reconfigure(encoding="utf-8", errors="backslashreplace")  # data is the same in every locale
    try:
        yield sys.stdout
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read it had enough; what is left would fail once more at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(1) from None


class _Terminal:
    """Standard output where it is a terminal: escape sequences in a text do nothing."""

    def write(self, text: str) -> None:
        sys.stdout.write("\n".join(safe(line, sys.maxsize // 8) for line in text.split("\n")))
