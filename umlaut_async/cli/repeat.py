"""`umlaut repeat`: a command several times, each a run of its own, all with one tag."""

from __future__ import annotations

import os
import sys
import uuid
from typing import TYPE_CHECKING, Any

import click

from umlaut_async.cli.measuring import SETTINGS, check_system, measured, measuring_options, run_of
from umlaut_async.cli.text import safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from umlaut_async.commands.attending import Attendant
    from umlaut_async.commands.measuring import Run


@click.command(context_settings=SETTINGS)
@click.option("-n", "times", type=click.IntRange(min=1), default=5, show_default=True, help="How many runs to make.")
@click.option("--keep-going", is_flag=True, help="Go on after a run that fails.")
@measuring_options
def repeat(command: tuple[str, ...], times: int, keep_going: bool, **options: Any) -> None:
    """Run COMMAND several times, one after the other, and measure each run as `umlaut run` does.

    All runs get one tag, which is printed on standard error. The first run that fails is the last one, and its exit
    code that of all.
    """
    check_system()
    from umlaut_async.commands.attending import Attendant, end_as

    run = run_of(options)
    tag = f"repeat-{uuid.uuid4().hex[:8]}"
    run = run._replace(tags=(*run.tags, tag))
    attendant = Attendant()
    failed = made = 0
    for _ in range(times):
        status, begun = _run_in_child(command, run._replace(run_uuid=str(uuid.uuid4())), attendant)
        made += begun
        failed = failed or status
        if not begun:
            break  # It has said why, and would again.
        _show(made, times)
        if status and (not keep_going or _was_told_to_end(attendant)):
            break
    if made:
        click.echo(f"umlaut: {'1 run has' if made == 1 else f'{made} runs have'} the tag {tag}", err=True)
    end_as(failed)


def _run_in_child(command: Sequence[str], run: Run, attendant: Attendant) -> tuple[int, bool]:
    """Measure one run in a forked child, which is small and has one thread.

    Returns:
        Its status as of `waitpid`, and whether the command was begun.
    """
    from umlaut_async.commands.attending import end_as

    told, telling = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            attendant.forget()
            ended = measured(command, run)
            os.write(telling, b"begun")
            end_as(ended.status)
        except click.exceptions.Exit as end:
            code = end.exit_code
        except BaseException as error:
            click.echo(f"umlaut: {safe(error) or type(error).__name__}", err=True)
        finally:
            os._exit(code)
    os.close(telling)
    attendant.attend(pid)
    _, status = os.waitpid(pid, 0)
    with open(told, "rb") as reading:
        return status, bool(reading.read())


def _was_told_to_end(attendant: Attendant) -> bool:
    from umlaut_async.commands.attending import ENDING

    return attendant.last in ENDING


def _show(made: int, times: int) -> None:
    """Show on a terminal how far it is: one line after each run, since the terminal is the command's meanwhile."""
    if not sys.stderr.isatty():
        return
    from rich.console import Console
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    line = Table.grid(padding=(0, 1))
    line.add_row(f"umlaut: run {made} of {times}", ProgressBar(total=times, completed=made, width=40))
    Console(stderr=True, markup=False, highlight=False).print(line)
