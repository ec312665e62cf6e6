"""The options of the commands that measure other commands, and how these end."""

from __future__ import annotations

import math
import signal
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from umlaut_async.cli.text import safe
from umlaut_async.errors import UmlautError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from umlaut_async.commands.measuring import Measured, Run

F = TypeVar("F", bound="Callable[..., Any]")

FAILED = 125
"""The exit code where it is not the command that failed, as `env` and `timeout` have it."""
_SHORTEST = 0.001
_LONGEST = 86_400.0

SETTINGS = {"allow_interspersed_args": False}

_METRICS = (
    (("-t", "--time"), "time", "Measure the time."),
    (("-c", "--cpu"), "cpu", "Measure the CPU time of all its processes."),
    (("-m", "--memory"), "memory", "Measure the memory of all its processes."),
    (("-i", "--io"), "io", "Measure what they read and write."),
    (("-e", "--energy"), "energy", "Measure the energy of the CPUs."),
    (("-p", "--power"), "power", "Measure the power of the CPUs."),
    (("-g", "--gpu"), "gpu", "Measure the use of the GPUs."),
    (("-gm", "--gpumemory"), "gpumemory", "Measure the memory of the GPUs."),
    (("-gp", "--gpupower"), "gpupower", "Measure the power of the GPUs."),
)


def _is_number(context: click.Context, parameter: click.Parameter, value: float) -> float:
    if math.isnan(value):
        raise click.BadParameter("nan is no number of seconds.", context, parameter)
    return value


def measuring_options(function: F) -> F:
    """Let a command take what it is to measure, and where it is stored."""
    decorators = [
        *(click.option(*names, f"of_{type_}", is_flag=True, help=said) for names, type_, said in _METRICS),
        click.option(
            "--interval", type=click.FloatRange(_SHORTEST, _LONGEST), callback=_is_number, default=1.0,
            show_default=True, help="The seconds between two samples.",
        ),
        click.option(
            "--db", "database", envvar="UMLAUT_DB", default="umlaut.db", show_default=True, show_envvar=True,
            help="The database: a path or a URL.",
        ),
        click.option("--description", default="", help="What the run is, in your words."),
        click.option("--name", help="The name of the run.  [default: that of the program]"),
        click.option("--tag", "tags", multiple=True, help="A word to find the run by; may be given several times."),
        click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED),
    ]  # fmt: skip
    for decorate in reversed(decorators):
        function = decorate(function)
    return function


def run_of(options: dict[str, Any]) -> Run:
    """Return what the options say of a run."""
    from umlaut_async.commands.choosing import Wanted
    from umlaut_async.commands.measuring import Run

    types = frozenset(type_ for _, type_, _ in _METRICS if options[f"of_{type_}"])
    wanted = Wanted(types, options["interval"])
    return Run(options["database"], wanted, options["description"], options["name"], tuple(options["tags"]))


def check_system() -> None:
    """Refuse systems on which signals cannot be passed on.

    Raises:
        click.ClickException: This is one.
    """
    if not hasattr(signal, "sigwaitinfo"):
        raise click.ClickException("this system lacks sigwaitinfo, by which signals are passed on; use Linux")


def measured(command: Sequence[str], run: Run) -> Measured:
    """Run a command and store what it used; where that is not possible, say so and end this process."""
    from umlaut_async.commands.finding import NoCommandError
    from umlaut_async.commands.measuring import measure

    try:
        return measure(command, run)
    except NoCommandError as error:
        _fail(str(error), error.code)
    except UmlautError as error:
        _fail(f"{error}; the command was not begun", FAILED)


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"umlaut: {safe(message, longest=1000)}", err=True)
    raise click.exceptions.Exit(code)
