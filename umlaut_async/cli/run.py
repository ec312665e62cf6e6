"""`umlaut run`: any command, measured from outside."""

from __future__ import annotations

from typing import Any

import click

from umlaut_async.cli.measuring import SETTINGS, check_system, measured, measuring_options, run_of


@click.command(context_settings=SETTINGS)
@measuring_options
@click.option("--summary", is_flag=True, help="Print a table on standard error at the end.")
def run(command: tuple[str, ...], summary: bool, **options: Any) -> None:
    """Run COMMAND and measure it from outside, with all the processes that it starts.

    Standard streams, terminal, signals and exit code are those of the command: 126 and 127 say that it cannot be
    executed or found, 125 that it was not begun, since it could not be measured. Without any of the options -t to -gp
    all is measured that can be read here. A Python program that uses umlaut_async with the same database joins the run.
    """
    check_system()
    of = run_of(options)
    ended = measured(command, of)
    if summary:
        from umlaut_async.cli.summary import print_summary

        print_summary(of.db_file, ended.run_uuid, ended.status)
    from umlaut_async.commands.attending import end_as

    end_as(ended.status)
