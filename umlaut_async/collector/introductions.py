"""How the programs that join a run describe it, and the command in which they were started."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from umlaut_async.clock import now
from umlaut_async.collector.settings import NameSource
from umlaut_async.records import EventRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from umlaut_async.collector.intake import Intake
    from umlaut_async.collector.settings import Description, RunSettings
    from umlaut_async.collector.wire import Hello
    from umlaut_async.collector.writer import Writer

_MOST_ANCESTORS = 1000


def command_of(pid: int, intakes: Sequence[Intake]) -> int | None:
    """Return the key of the call that is the command in which a process was started; None where no command is measured.

    Args:
        pid: The process.
        intakes: Those of the processes that take part in the run.
    """
    commands = {intake.pid: command for intake in intakes if (command := intake.command) is not None}
    ancestor = pid
    for _ in range(_MOST_ANCESTORS if commands else 0):
        ancestor = _parent(ancestor)
        if ancestor in commands:
            return commands[ancestor]
        if not ancestor:
            break
    # Of a process whose parent has ended only the outermost is known.
    return next(iter(commands.values()), None)


def _parent(pid: int) -> int:
    """Return the parent of a process, and 0 where there is none."""
    with suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])
    return 0


class Introductions:
    """Keeps what programs say of a run that they join, in the run itself or in its events.

    Args:
        settings: What the run is for the process that began it.
    """

    def __init__(self, settings: RunSettings) -> None:
        self._run = settings.described_as
        self._heard: set[Description] = {self._run}
        self._tags: list[str] = []
        """Those that the programs have added."""

    def take(self, hello: Hello, writer: Writer, events: list[EventRecord], *, of_command: bool) -> None:
        """Take what a program says that joins the run.

        Args:
            hello: What it says.
            writer: Takes what the run is called from now on.
            events: Gets what the run is not called.
            of_command: Whether it was started in a command of `umlaut run`, which only stands in for its programs.
        """
        program = hello.program
        if program is None or program in self._heard:
            return
        self._heard.add(program)
        before = after = self._run
        if of_command and program.name_source > before.name_source:
            after = after._replace(name=program.name, name_source=program.name_source)
        if of_command and not before.description:
            after = after._replace(description=program.description)
        self._run = after
        if after != before:
            writer.describe(name=after.name, description=after.description)
        if added := [tag for tag in program.tags if tag not in (*before.tags, *self._tags)]:
            self._tags += added
            writer.describe(tags=self._tags.copy())
        if (said := _not_in(after, program)) is not None:
            message = f"process {hello.pid} takes part in this run, which its program {said}"
            data = {"pid": hello.pid, "name": program.name, "description": program.description}
            events.append(EventRecord(now(), "program", message, data))


def _not_in(run: Description, program: Description) -> str | None:
    """Return what a program says of the run that is not what the run is called; None where there is nothing."""
    said = []
    if program.name != run.name and program.name_source is NameSource.USER:
        said.append(f"names {program.name!r}")
    if program.description not in ("", run.description):
        said.append(f"describes as {program.description!r}")
    return " and ".join(said) or None
