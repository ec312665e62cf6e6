"""The benchmark of UMLAUT: the asynchronous one, with methods that block until it is done."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import warnings
from typing import TYPE_CHECKING, Any, Self

from umlaut_async import benchmark as asynchronous
from umlaut_async.arguments import text
from umlaut_async.collector.thread import collects_here
from umlaut_async.errors import ArgumentError, ArgumentTypeError, OldDatabaseError, ReadOnlyError, StoreError
from umlaut_async.records import CLOSED, Ending, ending_after
from umlaut_async.store.location import look, resolve
from umlaut_async.waiting import block_for_answer

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Callable
    from types import TracebackType

    from sqlalchemy.orm import Query, Session

    from umlaut_async.records import Answer

_logger = logging.getLogger("umlaut_async")


class Benchmark:
    """Manage the entries of a database file: record a run of a pipeline into it, or read what is there.

    Everything here may be called in any thread, also while an event loop runs in it: that loop then stands still until
    the method is done, and one warning names the method of the asynchronous API, which does not block.

    Args:
        db_file: The path of the database file.
        description: What the whole pipeline is, in the words of the user; not used in mode 'r'.
        mode: 'a' adds a run to the database, 'w' replaces it, 'r' only reads it; in mode 'r' also what UMLAUT wrote.
        name: The name of the run; the file name of the script by default.
        checkpoint_frequency: Without effect: what was recorded is written every second.
        tmp_dir: Without effect: there is no temporary directory.

    Attributes:
        db_file: The path of the database file, as it was given.
        mode: As it was given.
        description: As it was given.
        name: The name of the run.

    Raises:
        ArgumentError: A value cannot be right, or it is the URL of a server.
        ArgumentTypeError: An argument is of the wrong type.
        StoreError: The file is missing in mode 'r', or cannot be used; the leaf says why.
    """

    def __init__(
        self,
        db_file: str | os.PathLike[str],
        description: str = "",
        mode: str = "a",
        name: str = "",
        checkpoint_frequency: int | None = None,
        tmp_dir: str | None = None,
    ) -> None:
        warn_of_unused(checkpoint_frequency=checkpoint_frequency, tmp_dir=tmp_dir)
        location = resolve(db_file)
        if location.path is None:
            server = location.url.partition(":")[0]
            raise ArgumentError(
                f"umlaut_async.compat works on database files, not on {server}://…; "
                "pass the path of a file, or use umlaut_async.Benchmark, whose methods are asynchronous"
            )
        self.db_file = db_file
        self.description = text("description", description)
        self.mode = mode
        self.name = text("name", name)
        self._path = location.path
        self._core: asynchronous.Benchmark | None = None
        if mode == "r":
            with contextlib.suppress(OldDatabaseError):
                look(location, mode)
        else:
            self._core = asynchronous.Benchmark(db_file, description, mode, name=name or None)
            self.name = self._core.name
        self._opened = False
        self._session: Session | None = None
        self._warned: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        # A copy has a session of its own, and nothing of what became of this one.
        return {**vars(self), "_opened": False, "_session": None, "_warned": set()}

    @property
    def core(self) -> asynchronous.Benchmark:
        """The asynchronous benchmark of which this one is the face, for `await` in coroutines.

        Raises:
            ReadOnlyError: The benchmark is of mode 'r', and has none.
        """
        if self._core is None:
            raise ReadOnlyError("a benchmark of mode 'r' only reads; use mode 'a' to record")
        return self._core

    @property
    def uuid(self) -> str:
        """The identity of the run; empty in mode 'r', in which there is none."""
        return "" if self._core is None else self._core.uuid

    @property
    def session(self) -> Session:
        """An SQLAlchemy session on a read-only connection of its own; each statement sees the newest committed data."""
        if self._session is None:
            from umlaut_async.compat.measurements import new_session

            self._session = new_session(self._path, self._connect)
        return self._session

    def query(self, *args: Any, **kwargs: Any) -> Query[Any]:
        """Query the database as `session.query` does, in mode 'r' only.

            bm.query(Measurement).filter_by(measurement_type="time").all()

        Raises:
            ArgumentError: The benchmark is of another mode.
        """
        if self.mode != "r":
            raise ArgumentError(
                f"query() needs a benchmark of mode 'r', and this one is of mode {self.mode!r}; "
                "make another one with mode='r', or use its session"
            )
        found: Query[Any] = self.session.query(*args, **kwargs)
        return found

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
        self.core.log(description, measure_type, value, unit, method_name)

    def flush(self) -> None:
        """Wait until everything recorded before this call is on disk.

        Raises:
            StoreError: It could not be stored; what can be stored later is tried again.
        """
        if self._core is not None:
            self._block("flush", self._core.request_flush)

    def close(self) -> None:
        """Flush, end the run and the session; once is enough, more is harmless.

        Raises:
            StoreError: Something recorded could not be stored, and is lost.
        """
        self._end(CLOSED)

    def __enter__(self) -> Self:
        if self._core is not None:
            self._block("open", self._core.request_open)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ending = ending_after(error)
        try:
            self._end(ending)
        except StoreError as failure:
            if ending == CLOSED:
                raise
            _logger.error("the run could not be stored to its end: %s", failure)

    def _end(self, ending: Ending) -> None:
        core = self._core
        try:
            if core is not None:
                self._block("close", lambda answer: core.request_end(answer, ending))
        finally:
            if self._session is not None:
                self._session.close()

    def _block(self, method: str, request: Callable[[Answer], None]) -> None:
        if collects_here():
            raise StoreError(
                f"{method}() was called in the thread of a collector, which would wait for itself; "
                "call it in another thread"
            )
        if method not in self._warned and asyncio._get_running_loop() is not None:
            self._warned.add(method)
            _logger.warning(
                "%s() of umlaut_async.compat blocks the event loop of this thread until it is done; "
                "`await benchmark.core.%s()`, which is umlaut_async.Benchmark.%s, does not",
                method,
                method,
                method,
            )
        assert self._core is not None
        block_for_answer(request, self._core)

    def _connect(self) -> sqlite3.Connection:
        if self._core is not None and not self._opened and self._core.records:
            # There may be no file yet, or one that mode 'w' is about to replace.
            self._block("open", self._core.request_open)
            self._opened = True
        from umlaut_async.legacy.views import connect

        return connect(self._path)


def core_of(benchmark: Benchmark | asynchronous.Benchmark) -> asynchronous.Benchmark:
    """Return what records for a benchmark of either API.

    Raises:
        ArgumentTypeError: It is no benchmark.
        ReadOnlyError: It is of mode 'r'.
    """
    if isinstance(benchmark, Benchmark):
        return benchmark.core
    if isinstance(benchmark, asynchronous.Benchmark):
        return benchmark
    raise ArgumentTypeError(f"benchmark must be a Benchmark, not {type(benchmark).__name__}")


def warn_of_unused(**arguments: object) -> None:
    """Warn of arguments that were given and have no effect any more."""
    for name, value in arguments.items():
        if value is not None:
            warnings.warn(
                f"{name} has no effect: what is recorded is written every second, without temporary files",
                DeprecationWarning,
                stacklevel=3,
            )
