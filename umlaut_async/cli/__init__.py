"""The command line: `umlaut`, or `python -m umlaut_async`."""

from __future__ import annotations

from umlaut_async.cli.group import main
from umlaut_async.cli.show import print_run

__all__ = ["main", "print_run"]
