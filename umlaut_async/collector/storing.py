"""What the collector of a run stores: what the processes of the run have recorded, and when it began and ended."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from umlaut_async.clock import now
from umlaut_async.collector.balance import Watched, overhead
from umlaut_async.errors import StoreError

if TYPE_CHECKING:
    from umlaut_async.collector.intake import Intake
    from umlaut_async.collector.rows import Row
    from umlaut_async.collector.settings import RunSettings
    from umlaut_async.collector.writer import Writer
    from umlaut_async.records import Ending

_logger = logging.getLogger("umlaut_async")


class Storing:
    """Stores a run.

    Args:
        settings: What the run is.
        writer: What writes it.
        intakes: What takes the records, one for each process of the run; those that have ended are taken out.
        watched: What counts what becomes of them.
    """

    def __init__(self, settings: RunSettings, writer: Writer, intakes: list[Intake], watched: Watched) -> None:
        self._mode = settings.collector
        self._writer = writer
        self._intakes = intakes
        self._watched = watched
        self._complained = False
        self._paused: Ending | None = None
        """How the run has ended as far as the database knows, and nothing follows."""
        self._began = settings.started if settings.implied else None
        """When the run began for the user, on the clock of `now()`; None as long as `open()` is waited for."""

    async def store(self, *, durable: bool, ending: Ending | None) -> StoreError | None:
        """Store what was taken, and the end of the run; return why it could not be.

        Args:
            durable: Whether it is to be on disk, and not only handed to the system.
            ending: How the run ends, if it does.
        """
        try:
            await self._write(durable)
            self._complained = False
            if durable or self._began is not None:
                await self._begin()
            if ending is None:
                await self._pause()
            ended = max(self._began or 0, *(intake.ended(ending) for intake in self._intakes))
            await self._see_off(ending)
            if ending is not None:
                deaths = [intake.death for intake in self._intakes if intake.death is not None]
                await self._writer.finish(self._writer.epoch + ended, ending, await self._described(), deaths)
        except Exception as error:
            failure = as_store_error(error)
            if ending is None:
                self._watched.lose(failure, ended=False)
            if ending is None and not self._complained:
                # Once until it works again: what is not stored waits, and is tried again every time.
                self._complained = True
                _logger.error("the records cannot be stored at present: %s", failure)
            return failure
        return None

    async def _write(self, durable: bool) -> None:
        """Store what was taken, with the samples and with the calls that have not ended.

        Raises:
            StoreError: The database cannot be written; what is not stored waits for the next time.
        """
        running: list[Row] = []
        for intake in self._intakes:
            await intake.settle(wait=durable)
            running += intake.prepare()
        await self._writer.write(time.time_ns(), running, durable)
        for intake in self._intakes:
            intake.stored()
        if any(intake.has_events for intake in self._intakes):
            # What the database refused just now is told of in it at once: there may be no next time.
            for intake in self._intakes:
                intake.add_events()
            await self._writer.write(time.time_ns(), [], durable)

    async def _begin(self) -> None:
        """Let the run begin now, where `open()` is to return, but with its first call or value if that came before."""
        began = min([now() if self._began is None else self._began, *(intake.first for intake in self._intakes)])
        if began != self._began:
            await self._writer.begin(self._intakes[0].process_id, self._writer.epoch + int(began), time.time_ns())
            self._began = int(began)

    async def _pause(self) -> None:
        """Let the run be over as long as nothing is recorded, or no longer."""
        first = self._intakes[0]
        pause = None if any(intake.link.open_calls for intake in self._intakes) else first.pause
        if pause is None and self._paused is not None:
            await self._writer.resume(first.process_id)
        elif pause is not None and pause is not self._paused:
            ended = self._writer.epoch + max(pause.at, first.last)
            await self._writer.pause(first.process_id, ended, pause, await self._described())
        self._paused = pause

    async def _see_off(self, ending: Ending | None) -> None:
        """Let go of the processes that have ended before the run."""
        for intake in self._intakes[1:]:
            if intake.ending is not None:
                ended = self._writer.epoch + intake.ended(ending)
                await self._writer.leave(intake.process_id, ended, intake.ending.how, intake.death)
                self._intakes.remove(intake)
                self._watched.see_off(intake)
                await intake.close()

    async def _described(self) -> dict[str, object]:
        own_process = self._mode == "process"
        return {
            "mode": self._mode,
            "journal": self._writer.journal,
            **self._watched.counts(),
            **overhead(own_process=own_process, writer_seconds=await self._writer.cpu_time()),
        }


def as_store_error(error: Exception) -> StoreError:
    """Return an error as that of the database."""
    if isinstance(error, StoreError):
        return error
    failure = StoreError(f"the database cannot be used: {type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
