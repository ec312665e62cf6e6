"""Files that commands write, and never over the database that they read."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import click

__all__ = ["check_output", "write_text"]


def check_output(path: str, db: str) -> None:
    """Refuse a file that cannot be meant as the output of a command that reads a database.

    Raises:
        click.ClickException: It is the database, or a folder, or in a folder that does not exist.
    """
    out = Path(path)
    with contextlib.suppress(OSError, ValueError):  # a URL is no file
        if os.path.samefile(out, db):
            raise click.UsageError(f"{path} is the database itself; name another file to write to")
    if out.is_dir():
        raise click.UsageError(f"{path} is a folder; name a file in it")
    if not out.absolute().parent.is_dir():
        raise click.UsageError(f"there is no folder {out.absolute().parent} to write {out.name} in; make it first")


def write_text(path: str, text: str) -> None:
    """Write a file.

    Raises:
        click.ClickException: It cannot be written.
    """
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror or error}") from error
