"""The group of all commands, and how it fails: one line on stderr and an exit code, never a traceback."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from umlaut_async import __version__
from umlaut_async.cli.compare import compare
from umlaut_async.cli.completion import completion
from umlaut_async.cli.doctor import doctor
from umlaut_async.cli.export import export
from umlaut_async.cli.housekeeping import baseline, rm, tag, vacuum
from umlaut_async.cli.old_databases import import_
from umlaut_async.cli.parameters import names_database
from umlaut_async.cli.plot import plot
from umlaut_async.cli.repeat import repeat
from umlaut_async.cli.report import report
from umlaut_async.cli.run import run
from umlaut_async.cli.runs import runs
from umlaut_async.cli.show import show
from umlaut_async.cli.text import safe
from umlaut_async.errors import UmlautError

if TYPE_CHECKING:
    from collections.abc import Sequence

FAILED = 1
INTERRUPTED = 130
_DEFAULT = "UMLAUT_DB"


class Group(click.Group):
    """A group whose errors are one line each."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and exit; 0 is success, 1 a failure, 2 a usage that cannot be, 130 Ctrl-C."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        if sys.stdout is None:
            # It was closed. What is written to it fails, as on a full disk, and is not lost unsaid.
            closed = io.FileIO(os.open(os.devnull, os.O_RDONLY), "w")
            sys.stdout = io.TextIOWrapper(closed, "utf-8", write_through=True)
        for stream in (sys.stdout, sys.stderr):
            if callable(reconfigure := getattr(stream, "reconfigure", None)):
                reconfigure(errors="replace")  # a locale without "µ" is no reason to fail
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.MissingParameter as error:
            hint = f" Pass the path of a database, or set {_DEFAULT}." if _is_database(error.param) else ""
            code = _fail(f"{error.format_message()}{hint}", error.exit_code)
        except click.ClickException as error:
            code = _fail(error.format_message(), error.exit_code)
        except UmlautError as error:
            code = _fail(str(error), FAILED)
        except click.Abort:
            code = INTERRUPTED
        except OSError as error:  # standard output may be a full disk
            code = _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", FAILED)
        except Exception as error:
            if os.environ.get("UMLAUT_TRACEBACK"):
                raise
            kind = type(error).__name__
            code = _fail(f"this is a fault of umlaut, {kind}: {error}; UMLAUT_TRACEBACK=1 shows where it is", FAILED)
        sys.exit(code if isinstance(code, int) else 0)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command, and put the database of the environment first where the arguments name none."""
        name, command, rest = super().resolve_command(ctx, args)
        default = os.environ.get(_DEFAULT)
        if default and command is not None and _leaves_out_database(command, ctx, rest):
            rest = [default, *rest]
        return name, command, rest


def _is_database(parameter: click.Parameter | None) -> bool:
    return parameter is not None and parameter.name == "db"


def _leaves_out_database(command: click.Command, context: click.Context, args: list[str]) -> bool:
    if not any(parameter.name == "db" for parameter in command.params):
        return False
    try:
        given, _, _ = command.make_parser(click.Context(command, parent=context)).parse_args(list(args))
    except click.UsageError:
        return False  # which is told when the command itself sees it
    return not (isinstance(db := given.get("db"), str) and names_database(db))


def _fail(message: str, code: int) -> int:
    click.echo(f"umlaut: {safe(message, longest=1000)}", err=True)
    return code


@click.group(cls=Group, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="umlaut")
@click.pass_context
def main(context: click.Context) -> None:
    """Read the databases that umlaut_async has written, and say what it can measure here."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


main.add_command(baseline)
main.add_command(compare)
main.add_command(completion)
main.add_command(doctor)
main.add_command(export)
main.add_command(import_)
main.add_command(plot)
main.add_command(repeat)
main.add_command(report)
main.add_command(rm)
main.add_command(run)
main.add_command(runs)
main.add_command(show)
main.add_command(tag)
main.add_command(vacuum)
