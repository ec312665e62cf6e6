"""The benchmark: one database, one run in it, and the ways to wait for what was recorded."""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Self

from umlaut_async.arguments import checked_seconds, checked_tags, made_by_module, named, run_identity, text
from umlaut_async.clock import now
from umlaut_async.collector.account import Accounting
from umlaut_async.collector.address import begun_within
from umlaut_async.collector.launchers import shared_run
from umlaut_async.collector.preload import preload
from umlaut_async.collector.recorder import Inherited, Recorder, before_exit
from umlaut_async.collector.registry import collector_for, find, identity
from umlaut_async.collector.settings import Given, RunSettings
from umlaut_async.collector.workers import employer
from umlaut_async.copies import benchmarks, received
from umlaut_async.dropping import EndWhenDropped
from umlaut_async.endings import LastActions
from umlaut_async.errors import ArgumentError, ClosedError, ReadOnlyError, StoreError
from umlaut_async.executors import follow_executors
from umlaut_async.notebooks import end_run_of_cell
from umlaut_async.ordinals import ordinal_of
from umlaut_async.records import CLOSED, Ending, ValueRecord, ending_after
from umlaut_async.sessions import Sessions
from umlaut_async.store import values
from umlaut_async.store.location import look, resolve
from umlaut_async.store.replacing import Replacing
from umlaut_async.waiting import wait_for_answer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from sqlalchemy.ext.asyncio import AsyncSession

    from umlaut_async.collector.address import Address
    from umlaut_async.records import Answer
    from umlaut_async.store.location import Location

_logger = logging.getLogger("umlaut_async")

_LOOK = 0.2
"""How often a process whose run has ended elsewhere looks for another one, in seconds."""


def value_record(
    description: str, measure_type: str, value: object, unit: str = "", method_name: str = ""
) -> ValueRecord:
    """Return the record of a value, as of now; see `Benchmark.log` for what it is made of.

    Raises:
        ArgumentTypeError: The value cannot be stored, or an argument is not a text.
    """
    content = values.split(value)
    texts = (
        text("measure_type", measure_type),
        text("description", description),
        text("unit", unit),
        text("method_name", method_name),
    )
    return ValueRecord(now(), *texts, *content)


class Benchmark:
    """Record a run of a pipeline into a database, or read one.

    It needs no event loop to be made, serves any number of loops and threads, and opens itself at the first supervised
    call. What was recorded is written at every flush interval, at `flush()` and `close()`, and when the process ends.

        bm = Benchmark("runs.db", description="digits, 4 workers")

        async def main():
            async with bm:
                ...
                await bm.flush()

    Args:
        db_file: The path of the database file, or a SQLAlchemy URL of an async driver.
        description: What the run is, in the words of the user.
        mode: 'a' adds a run to the database, 'w' replaces it, 'r' only reads it.
        name: The name of the run; the file name of the script by default.
        run_uuid: The identity of the run; by default what the environment variable `UMLAUT_RUN` names, with which the
            processes of a distributed job write one run, else a new one.
        tags: Words by which runs are found.
        collector: Where the collector runs: "thread", in this process, or "process", in one of its own, which samples
            on while this one holds the GIL, and knows how it ended.
        flush_interval: The seconds after which what was recorded is written at the latest.

    Raises:
        ArgumentError: A value cannot be right.
        ArgumentTypeError: An argument is of the wrong type.
        StoreError: The file is missing in mode 'r', or cannot be used; the leaf says why.
    """

    db_file: str | os.PathLike[str]

    def __init__(
        self,
        db_file: str | os.PathLike[str],
        description: str = "",
        mode: str = "a",
        *,
        name: str | None = None,
        run_uuid: str | None = None,
        tags: Iterable[str] = (),
        collector: str = "thread",
        flush_interval: float = 1.0,
    ) -> None:
        description, (name, source), tags = text("description", description), named(name), checked_tags(tags)
        location = resolve(db_file)
        run_uuid = None if run_uuid is None else run_identity(run_uuid)
        if collector not in ("thread", "process"):
            raise ArgumentError(f'collector must be "thread" or "process", not {collector!r}')
        seconds, place = checked_seconds("flush_interval", flush_interval), location.path or location.url
        described = description, mode, name, source, run_uuid, tags
        self._make(Given(os.fspath(db_file), place, *described, collector, seconds), location)
        self.db_file = db_file
        if mode != "r":
            end_run_of_cell(self, location.key)

    @classmethod
    def copy_of(cls, given: Given, ordinal: int) -> Self:
        """Return what stands for a benchmark of another process.

        Args:
            given: What that was made with.
            ordinal: Which one of several it is that were made with the same.
        """
        copy = cls.__new__(cls)
        copy._make(given, resolve(given.place), ordinal)
        return copy

    def _make(self, given: Given, location: Location, ordinal: int | None = None) -> None:
        """Set up a benchmark, or where it has an ordinal, a copy of one."""
        self.db_file = given.db_file
        self.description, self.mode, self.name, self.tags = given.description, given.mode, given.name, given.tags
        self._given, self._location, self._asked = given, location, given.run_uuid
        self._is_copy = ordinal is not None
        self._is_common = self._is_copy or made_by_module()
        """Whether other processes have this benchmark too, since it comes from a module, by fork or by pickle."""
        self._closed = self._warned = False
        self._look_again = 0.0
        self._inherited: Inherited | None = None
        reads = given.mode == "r"
        self._joins = None if reads or self._is_copy else collector_for(location.key, self._asked)
        look(location, given.mode if reads or not (self._joins or self._is_copy) else "a")
        self._ordinal = ordinal_of(self, given) if ordinal is None else ordinal
        self._settings = RunSettings.described(location, self._replacing(), given, self._ordinal)
        if self._is_copy and not reads:
            self._joins = self._open_elsewhere()
        self.uuid = self._asked or run_identity(None) if self._joins is None else self._joins.run
        if given.collector == "thread" and not reads and self._joins is None:
            preload(location)
        self.before_end = LastActions()
        # By the uuid of the run. Where the first calls of two threads begin at once, `setdefault` decides between them.
        self._recorders: dict[str, Recorder] = {}
        benchmarks.add(self)
        self._end_when_dropped = EndWhenDropped(self._recorders)
        self._pid = os.getpid()
        self._sessions = Sessions(location)
        follow_executors()

    @property
    def session(self) -> AsyncSession:
        """A session that reads the database, one for each event loop; `close()` on its loop ends it.

            runs = (await bm.session.scalars(select(models.Run))).all()

        Raises:
            RuntimeError: No event loop is running.
        """
        return self._sessions.current()

    @property
    def accounting(self) -> Accounting:
        """What became of the records of this run: `recorded == stored + sum(dropped.values()) + in_flight`."""
        recorder = self._recorders.get(self.uuid)
        return Accounting() if recorder is None else recorder.accounting()

    async def open(self) -> Self:
        """Begin the run, if it has not begun; after `close()`, begin a new one.

        Returns:
            The benchmark itself.

        Raises:
            StoreError: The database cannot be opened or written.
        """
        await wait_for_answer(self.request_open, self)
        return self

    async def flush(self) -> None:
        """Wait until everything recorded before this call is on disk: in this thread, and in others before it.

        Raises:
            StoreError: It could not be stored; what can be stored later is tried again.
        """
        await wait_for_answer(self.request_flush, self)

    async def close(self) -> None:
        """Flush, and end the run; once is enough, more is harmless.

        Raises:
            StoreError: Something recorded could not be stored, and is lost.
        """
        try:
            await wait_for_answer(self.request_end, self)
        finally:
            await self._sessions.close()

    def __reduce__(self) -> tuple[Any, ...]:
        # Nothing of a run: what is pickled of a stage is to be the same in each process, and whether or not it ran.
        return received, (Benchmark, self._given, self._ordinal)

    def join_again(self) -> None:
        """Take part in the run that is open now, in a copy whose run has ended."""
        if self._is_copy and self.mode != "r" and self._is_over and (found := self._open_elsewhere()) is not None:
            self._renew()
            self._join(found)

    @property
    def is_closed(self) -> bool:
        """Whether it was closed, and not opened again."""
        return self._closed

    @property
    def _is_over(self) -> bool:
        """Whether nothing is recorded any more in the run in which this last took part."""
        return self._closed or (self._joins is not None and not self._joins.is_in_use)

    def _join(self, address: Address) -> None:
        self._joins, self.uuid = address, address.run

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ending = ending_after(error)
        try:
            await wait_for_answer(lambda answer: self.request_end(answer, ending), self)
        except StoreError as failure:
            if ending == CLOSED:
                raise
            if not self._explained:
                _logger.error("the run could not be stored to its end: %s", failure)
        finally:
            await self._sessions.close()

    def log(self, description: str, measure_type: str, value: object, unit: str = "", method_name: str = "") -> None:
        """Record one value, without waiting.

        Args:
            description: What the value is, in the words of the user.
            measure_type: The kind of value, such as "loss".
            value: A number, a text, numpy data, or anything of these that JSON can hold.
            unit: The unit of the value.
            method_name: The stage that it belongs to.

        Raises:
            ArgumentTypeError: The value cannot be stored, or an argument is not a text.
            ReadOnlyError: The benchmark is of mode 'r'.
            ClosedError: The benchmark was closed.
        """
        record = value_record(description, measure_type, value, unit, method_name)
        if (recorder := self.require_recording()) is not None:
            # The time is taken here, for what may begin the run is not to lie before it.
            recorder.link.append_value(record._replace(recorded=now()))
        else:
            self.miss()

    def require_recording(self) -> Recorder | None:
        """Begin the run if need be, and raise if nothing can be recorded.

        Returns:
            What records the run; None where its collector has gone.

        Raises:
            ReadOnlyError: It is of mode 'r'.
            ClosedError: It was closed.
        """
        if self.mode == "r":
            raise ReadOnlyError("a benchmark of mode 'r' only reads; use mode 'a' to record")
        recorder = None if self._closed else self.recorder()
        if self._closed or (recorder is None and self._recorders[self.uuid].ending):
            raise ClosedError("this benchmark was closed; make another one, or open() it again, to begin a new run")
        return recorder

    def miss(self) -> None:
        """Count a call or a value that cannot be recorded, since the collector has gone."""
        if (recorder := self._recorders.get(self.uuid)) is not None and not recorder.ending:
            recorder.unmeasured.add()

    def recorder(self) -> Recorder | None:
        """Return what records the run, beginning it if need be; None where nothing is recorded."""
        recorder = self._recorders.get(self.uuid)
        if not self._closed and (recorder is None or (recorder.is_over_elsewhere and self._finds_another())):
            recorder = self._begin(implied=True)
        if recorder is not None and recorder.link.recording:
            return recorder
        self._warn()
        return None

    def _warn(self) -> None:
        if self._warned:
            return
        recorder = self._recorders.get(self.uuid)
        if recorder is not None and recorder.is_over_at_exit:
            # Threads of the background may go on to the end, which nobody minds.
            if threading.current_thread() is not threading.main_thread():
                return
            why = "the program ends; import umlaut_async before you register an exit handler that calls it"
        elif self._explained:
            return
        else:
            why = "it was closed" if self._closed else "its collector has ended"
        self._warned = True
        _logger.warning("what runs under benchmark %r is not measured: %s", self.name, why)

    @property
    def _explained(self) -> bool:
        """Whether the log says why nothing is recorded any more."""
        return (recorder := self._recorders.get(self.uuid)) is not None and recorder.link.explained

    @property
    def records(self) -> bool:
        """Whether calls and values are recorded at present, or would be."""
        recorder = self._recorders.get(self.uuid)
        return not self._closed and (recorder is None or recorder.link.recording)

    def _find_run(self) -> None:
        """Find out in which run of other processes this one takes part now, if it does."""
        if self._joins is not None and self._joins.is_in_use:
            return
        if (found := self._open_elsewhere()) is not None:
            self._join(found)

    def _open_elsewhere(self) -> Address | None:
        """Return the collector of the run that other processes have begun, and in which this one is to take part."""
        kind, of_copies = self._settings.kind, self._settings.kind_of_copies if self._is_copy else None
        return collector_for(self._location.key, self._asked, kind, of_copies)

    def _replacing(self) -> Replacing | None:
        """Return who replaces the file when the run begins, if it is to be replaced."""
        if self.mode != "w" or begun_within(self._location.key):
            return None
        if not self._is_copy:
            return Replacing.from_now_on()
        # A copy knows only of its employer since when others may have recorded for the same work.
        return None if (boss := employer()) is None else Replacing.in_worker_of(boss.pid)

    def _finds_another(self) -> bool:
        """Return whether another run is open by now than that of other processes which has ended."""
        if time.monotonic() < self._look_again:
            return False
        self._look_again = time.monotonic() + _LOOK
        found = self._open_elsewhere()
        if found is None or found == self._joins:
            return False
        self._renew()
        self._join(found)
        return True

    def _begin(self, *, implied: bool) -> Recorder:
        if self.uuid not in self._recorders:
            self._find_run()
        boss = employer()
        # What a function makes in a worker is a run of its own, such as one trial of several.
        is_own = not self._is_common or self._joins or self._asked is not None or shared_run(os.environ) is not None
        settings = self._settings.begun(
            self.uuid, self._joins, implied=implied, employer=None if is_own else boss, is_worker=boss is not None
        )
        recorder = self._recorders.get(self.uuid) or self._recorders.setdefault(
            self.uuid, Recorder(settings, self.before_end, self._inherited)
        )
        try:
            recorder.start()
        except Exception:  # A defect: nobody may wait for what has not started.
            self._recorders.pop(self.uuid, None)
            raise
        return recorder

    def join_workers(self) -> None:
        """Take part in the run that workers have begun in the name of this process, if they have and it has not."""
        if self.mode == "r" or not self._is_common or self._closed or self._recorders:
            return
        this = identity(os.getpid())
        if this is not None and find(self._location.key, this, self._settings.kind) is not None:
            self._begin(implied=True)

    def _renew(self) -> None:
        """Let what is recorded next be a new run, or another part in the run of another process."""
        import uuid

        if (recorder := self._recorders.pop(self.uuid, None)) is not None and not recorder.failed:
            self._settings = self._settings._replace(replacing=None)
        if self._joins is not None and not self._joins.is_in_use:
            self._joins = self._inherited = None
        if self._joins is None:
            self.uuid = str(uuid.uuid4())
        self._closed = self._warned = False

    def _after_fork(self) -> None:
        """Let go of the parent's recorder in a forked child, whose records go to the collector of the same run."""
        recorder = self._recorders.get(self.uuid)
        if recorder is not None and not recorder.link.was_closed:
            self._inherited = Inherited(recorder.link, self._pid, recorder.address)
            self._joins = recorder.address
        self._pid = os.getpid()
        if (who := self._settings.replacing) is not None:
            self._settings = self._settings._replace(replacing=who.in_worker())
        self._is_common = True
        closed = self._closed
        self._renew()
        self._closed = closed

    def request_open(self, answer: Answer) -> None:
        """Do what `open` does, and have the answer called instead of waiting for it."""
        if self.mode == "r":
            answer(None)
            return
        recorder = self._recorders.get(self.uuid)
        if self._closed or (recorder is not None and recorder.failed):
            if recorder is not None and not self._closed:
                recorder.end(lambda _: None, Ending("error", "not opened"))
            self._renew()
        self._begin(implied=False).flush(answer)

    def request_flush(self, answer: Answer) -> None:
        """Do what `flush` does, and have the answer called instead of waiting for it."""
        if (recorder := self._recorders.get(self.uuid)) is None:
            answer(None)
        else:
            recorder.flush(answer)

    @property
    def is_idle(self) -> bool:
        """Whether no call is running in the present run."""
        recorder = self._recorders.get(self.uuid)
        return recorder is None or not recorder.link.open_calls

    def request_end(self, answer: Answer, ending: Ending = CLOSED) -> None:
        """Do what `close` does, and have the answer called instead of waiting for it."""
        if (recorder := self._recorders.get(self.uuid)) is None:
            answer(None)
        else:
            recorder.end(answer, ending)
        self._closed = True


def _join_workers() -> None:
    for benchmark in list(benchmarks):
        benchmark.join_workers()


# What workers have recorded in the name of this process ends with it, and is complete before anybody sees it end.
before_exit.append(_join_workers)
