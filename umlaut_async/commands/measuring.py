"""One run of one command: from the check that it can be executed and measured to the end that it had."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, NamedTuple

from umlaut_async.arguments import CommandName
from umlaut_async.benchmark import Benchmark
from umlaut_async.collector.address import VARIABLE
from umlaut_async.commands.attending import Attendant, die_of
from umlaut_async.commands.choosing import Wanted, metrics_for
from umlaut_async.commands.finding import NoCommandError, check
from umlaut_async.commands.held import HeldCommand, environment, execute, let_go_of_streams
from umlaut_async.errors import StoreTimeoutError
from umlaut_async.probes.command import WatchedCommand
from umlaut_async.records import COMMAND, Ending
from umlaut_async.stage import Stage
from umlaut_async.store.location import resolve
from umlaut_async.switch import disabled
from umlaut_async.text import LONGEST
from umlaut_async.waiting import SILENT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from umlaut_async.errors import StoreError
    from umlaut_async.records import Answer

_STDERR = 2
_GRACE = 1.0
"""For how many seconds after the end of a command a signal is still meant for it."""
_NOT_BEGUN = Ending("error", "ended before the command had begun")


class Run(NamedTuple):
    """What a run is to be."""

    db_file: str
    wanted: Wanted
    description: str = ""
    name: str | None = None
    tags: tuple[str, ...] = ()
    run_uuid: str | None = None


class Measured(NamedTuple):
    """A command that has ended, and what is known of it is stored as far as it could be."""

    status: int
    """As of `waitpid`."""
    run_uuid: str


def measure(command: Sequence[str], run: Run) -> Measured:
    """Run a command as if nobody measured it, and store what it used.

    This process must have one thread, and lets go of its standard input and output, which are the command's.

    Args:
        command: The program and its arguments.
        run: What the run is to be.

    Raises:
        NoCommandError: It cannot be executed.
        StoreError: The database cannot be used. The command was not begun.
    """
    check(command[0])
    if disabled():
        try:
            execute(command, environment())
        except OSError as error:
            raise NoCommandError(command[0], error.errno or 0) from None
    name = CommandName(os.path.basename(command[0])) if run.name is None else run.name
    benchmark = Benchmark(run.db_file, run.description, name=name, tags=run.tags, run_uuid=run.run_uuid)
    attendant = Attendant()
    held = HeldCommand(command, attendant.mask)
    try:
        let_go_of_streams(_STDERR)
        _log_errors_alone()
        watched = WatchedCommand(held.pid)
        shown = shlex.join(map(resolve(run.db_file).shown, command))[:LONGEST]
        stage = Stage(tuple(metrics_for(run.wanted, watched)), benchmark, COMMAND, shown)
        _open(benchmark, attendant)
    except BaseException:
        held.release()
        attendant.close()
        raise
    return Measured(_run(command, held, watched, stage, benchmark, attendant), benchmark.uuid)


def _run(
    command: Sequence[str],
    held: HeldCommand,
    watched: WatchedCommand,
    stage: Stage,
    benchmark: Benchmark,
    attendant: Attendant,
) -> int:
    watched.prepare()
    call = stage.enter()
    failed = held.go({VARIABLE: os.environ.get(VARIABLE)})
    watched.begin()
    if not failed:
        attendant.attend(held.pid)
    status = watched.end()
    error = NoCommandError(command[0], failed) if failed else None
    code = os.waitstatus_to_exitcode(status)
    if call is not None:
        call.end(error or (subprocess.CalledProcessError(code, [*command]) if code else None))
    how = "could not be executed" if failed else _how(code)
    _end(benchmark, attendant, Ending("error" if failed or code else "ok", how))
    if error is not None:
        raise error
    return status


def _open(benchmark: Benchmark, attendant: Attendant) -> None:
    """Begin the run; a signal that ends this process does so also while the database does not answer."""
    number, error = _ask(benchmark.request_open, attendant)
    if number is not None:
        _ask(lambda answer: benchmark.request_end(answer, _NOT_BEGUN), attendant, patience=_GRACE)
        die_of(number)
    if error is not None:
        raise error


def _end(benchmark: Benchmark, attendant: Attendant, ending: Ending) -> None:
    """End the run. What could not be stored is told, but changes nothing of how the command has ended."""
    _, error = _ask(lambda answer: benchmark.request_end(answer, ending), attendant, deaf=_GRACE)
    attendant.dismiss()
    if error is not None:
        logging.getLogger("umlaut_async").error("not all that was measured could be stored: %s", error)


def _ask(
    request: Callable[[Answer], None], attendant: Attendant, patience: float = 35.0, deaf: float = 0
) -> tuple[int | None, StoreError | None]:
    """Place a request; return the signal that came before its answer, if one did, and the error that it had."""
    answered = threading.Event()
    answers: list[StoreError | None] = []

    def answer(error: StoreError | None) -> None:
        answers.append(error)
        answered.set()

    request(answer)
    number = attendant.wait(answered, patience, deaf)
    if answers:
        return None, answers[0]
    return number, StoreTimeoutError(f"the collector did not answer; {SILENT}")


def _how(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _log_errors_alone() -> None:
    """Let nothing be written between what the command writes, but what is lost."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.ERROR)
    handler.setFormatter(logging.Formatter("umlaut: %(message)s"))
    logger = logging.getLogger("umlaut_async")
    logger.addHandler(handler)
    logger.propagate = False
