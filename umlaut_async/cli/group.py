"""The group of all commands, and how it fails: one line on stderr and an exit code, never a traceback."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from umlaut_async import __version__
from umlaut_async.cli.doctor import doctor
from umlaut_async.cli.old_databases import export, import_
from umlaut_async.cli.runs import runs
from umlaut_async.cli.show import show
from umlaut_async.cli.text import safe
from umlaut_async.errors import UmlautError

if TYPE_CHECKING:
    from collections.abc import Sequence

FAILED = 1
INTERRUPTED = 130


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
        for stream in (sys.stdout, sys.stderr):
            if callable(reconfigure := getattr(stream, "reconfigure", None)):
                reconfigure(errors="replace")  # a locale without "µ" is no reason to fail
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.ClickException as error:
            code = _fail(error.format_message(), error.exit_code)
        except UmlautError as error:
            code = _fail(str(error), FAILED)
        except click.Abort:
            code = INTERRUPTED
        sys.exit(code if isinstance(code, int) else 0)


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


main.add_command(doctor)
main.add_command(export)
main.add_command(import_)
main.add_command(runs)
main.add_command(show)
