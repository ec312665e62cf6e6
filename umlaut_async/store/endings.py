"""How the commands ended that `umlaut run` has measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from umlaut_async.records import COMMAND, LOST
from umlaut_async.store.models import Process, Run, Span

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["CommandEnd", "command_ends"]


class CommandEnd(NamedTuple):
    """How a command ended."""

    command: str
    ending: str
    """As "exited with code 3", "killed by SIGTERM"."""

    def sentence(self) -> str:
        """Return it as a sentence."""
        return f"{self.command} {'was ' if self.ending.startswith('killed') else ''}{self.ending}."


def command_ends(session: Session, run_uuid: str) -> list[CommandEnd]:
    """Return how the commands of a run ended, where who measured them has seen it."""
    query = (
        select(Span.name, Process.ending)
        .join(Process, Process.id == Span.process_id)
        .join(Run, Run.uuid == Process.run_uuid)
        .where(Run.uuid == run_uuid, Run.status != LOST, Span.kind == COMMAND, Process.ending.is_not(None))
    )
    return [CommandEnd(command, ending or "") for command, ending in session.execute(query.order_by(Span.id))]
