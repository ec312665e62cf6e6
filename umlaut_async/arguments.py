"""Checks of the arguments that users pass."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from umlaut_async.collector.launchers import shared_run
from umlaut_async.collector.settings import NameSource
from umlaut_async.errors import ArgumentError, ArgumentTypeError
from umlaut_async.store.values import storable

if TYPE_CHECKING:
    from collections.abc import Iterable


def script() -> str:
    """Return the file name of the script that runs, or "python" where there is none."""
    name = os.path.basename(sys.argv[0]) if sys.argv else ""
    return name if name not in ("", "-c", "-m") else "python"


def made_by_module() -> bool:
    """Return whether it is the body of a module, and no function, that calls this package just now."""
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == __package__:
        frame = frame.f_back
    return frame.f_code.co_name == "<module>"


class CommandName(str):
    """A name of a run that stands for what the programs in a command call it."""


def named(name: str | None) -> tuple[str, NameSource]:
    """Return the name of a run, by default that of the script, and where it comes from."""
    if name is None:
        return text("name", script()), NameSource.SCRIPT
    return text("name", name), NameSource.COMMAND if isinstance(name, CommandName) else NameSource.USER


def checked_text(name: str, value: object) -> str:
    """Return an argument that must be a text."""
    if not isinstance(value, str):
        raise ArgumentTypeError(f"{name} must be a text, not {type(value).__name__}")
    return value


def text(name: str, value: object) -> str:
    """Return an argument that must be a text, as databases take it."""
    return storable(checked_text(name, value))


def run_identity(run_uuid: str | None) -> str:
    """Return the identity of a run: what was passed, that of the run which this job shares, or a new one."""
    import uuid

    if run_uuid is None:
        run_uuid = shared_run(os.environ) or str(uuid.uuid4())
    if not text("run_uuid", run_uuid):
        raise ArgumentError("run_uuid must not be empty; leave it out for a new one")
    return text("run_uuid", run_uuid)


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return several texts."""
    if isinstance(tags, str):
        raise ArgumentTypeError(f"tags must be several texts, such as [{tags!r}], not one text")
    try:
        return tuple(text("a tag", tag) for tag in tags)
    except TypeError as error:
        raise ArgumentTypeError(f"tags must be several texts: {error}") from None


def checked_seconds(name: str, seconds: object) -> float:
    """Return an argument that must be a number of seconds, greater than 0."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise ArgumentTypeError(f"{name} must be a number of seconds, not {type(seconds).__name__}")
    if not 0 < seconds <= sys.float_info.max:
        raise ArgumentError(f"{name} must be greater than 0 and finite, not {seconds}")
    return float(seconds)
